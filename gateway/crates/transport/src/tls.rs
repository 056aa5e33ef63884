//! TLS, as a server: from settings to an acceptor, from a socket to a stream.

mod acceptor;
mod clients;
mod credential;
mod credentials;
mod engine;
mod error;
mod handshake;
mod presented;
mod ready;
mod stamp;
mod stream;

pub(crate) use acceptor::{Acceptor, provider};
pub use credential::{Credential, CredentialKind};
pub use credentials::{Credentials, Reloaded};
pub use error::{HandshakeError, TlsConfigError};
pub(crate) use handshake::show_chain;
pub(crate) use ready::Ready;
pub use stamp::Stamp;
pub use stream::TlsStream;
