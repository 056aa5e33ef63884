//! TLS, as a server: from settings to an acceptor, from a socket to a stream.

mod acceptor;
mod engine;
mod error;
mod handshake;
mod stream;

pub(crate) use acceptor::Acceptor;
pub use error::{HandshakeError, TlsConfigError};
pub use stream::TlsStream;
