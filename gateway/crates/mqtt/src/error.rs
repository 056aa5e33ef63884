//! What can be wrong with bytes that a peer sent, with a packet that we were asked to write, and with a topic.

mod decode;
mod encode;
mod topic;

pub use decode::DecodeError;
pub use encode::EncodeError;
pub use topic::TopicError;
