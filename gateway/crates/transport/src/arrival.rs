//! Why a connection did not come to be.

use std::fmt;

use crate::proxy::ProxyError;
use crate::tls::HandshakeError;
use crate::web::UpgradeError;

/// Why a connection did not come to be: the peer's doing, or the network's.
#[derive(Debug)]
pub enum ArrivalError {
    /// The handshake of TLS, or the socket, failed.
    Handshake(HandshakeError),
    /// A proxy did not say whose connection it is, or somebody else did.
    Proxy(ProxyError),
    /// It did not become a WebSocket.
    Upgrade(UpgradeError),
}

impl ArrivalError {
    /// A constant name of the cause, for metrics and log fields.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Handshake(cause) => cause.label(),
            Self::Proxy(cause) => cause.label(),
            Self::Upgrade(cause) => cause.label(),
        }
    }
}

impl fmt::Display for ArrivalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(cause) => cause.fmt(f),
            Self::Proxy(cause) => cause.fmt(f),
            Self::Upgrade(cause) => write!(f, "websocket refused: {cause}"),
        }
    }
}

impl std::error::Error for ArrivalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Handshake(cause) => Some(cause),
            Self::Proxy(cause) => Some(cause),
            Self::Upgrade(cause) => Some(cause),
        }
    }
}

impl From<HandshakeError> for ArrivalError {
    fn from(cause: HandshakeError) -> Self {
        Self::Handshake(cause)
    }
}

impl From<ProxyError> for ArrivalError {
    fn from(cause: ProxyError) -> Self {
        Self::Proxy(cause)
    }
}

impl From<UpgradeError> for ArrivalError {
    fn from(cause: UpgradeError) -> Self {
        Self::Upgrade(cause)
    }
}
