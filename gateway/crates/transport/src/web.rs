//! WebSocket (RFC 6455), as a server: from a byte stream to the byte stream inside it. As a client it is in `dial`.

mod frame;
mod head;
mod origin;
mod stream;
mod upgrade;

pub(crate) use frame::CONTROL_MAX;
pub use frame::{End, FrameDecoder, FrameFault};
pub(crate) use head::proof_of;
pub use stream::WebStream;
pub use upgrade::UpgradeError;
pub(crate) use upgrade::upgrade;
