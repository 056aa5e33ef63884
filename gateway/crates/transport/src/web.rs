//! WebSocket (RFC 6455), as a server: from a byte stream to the byte stream inside it.

mod frame;
mod head;
mod origin;
mod stream;
mod upgrade;

pub use frame::{End, FrameDecoder, FrameFault};
pub use stream::WebStream;
pub use upgrade::UpgradeError;
pub(crate) use upgrade::upgrade;
