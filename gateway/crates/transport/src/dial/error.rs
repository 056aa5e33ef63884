use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::tls::TlsConfigError;

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// The name has no address that could be found.
    Resolve {
        /// The name.
        host: String,
        /// What the system says.
        error: io::Error,
    },
    /// Nobody took the connection.
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The TLS settings cannot be used.
    Settings(TlsConfigError),
    /// What the server is to be called is no name.
    ServerName {
        /// What it was.
        name: String,
    },
    /// The TLS handshake failed.
    Handshake(String),
    /// The QUIC handshake failed.
    Quic {
        /// The address.
        address: SocketAddr,
        /// What was wrong.
        why: String,
    },
    /// The proxy does not make the connection.
    Proxy {
        /// Where it is.
        proxy: String,
        /// What it said, and what may help.
        why: String,
    },
    /// The server does not open a WebSocket.
    Web(String),
}

impl DialError {
    pub(super) fn handshake(error: &io::Error) -> Self {
        Self::Handshake(error.to_string())
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, error } => {
                write!(
                    f,
                    "{host:?} has no address ({error}); check the name, and the resolver of this machine"
                )
            }
            Self::Connect { address, error } => {
                write!(
                    f,
                    "{address} does not take the connection ({error}); check port, route and firewall"
                )
            }
            Self::Settings(error) => error.fmt(f),
            Self::ServerName { name } => {
                write!(f, "{name:?} is no name that a certificate can hold; set tls.server-name")
            }
            Self::Handshake(why) => write!(
                f,
                "tls handshake failed ({why}); check that tls.ca issued the server's certificate, that it holds the name of the url or tls.server-name, and that the server trusts tls.cert"
            ),
            Self::Quic { address, why } => write!(
                f,
                "quic handshake with {address} failed ({why}); check that UDP passes to that port, and tls.ca, tls.server-name, tls.cert and tls.alpn"
            ),
            Self::Proxy { proxy, why } => write!(f, "proxy {proxy} {why}"),
            Self::Web(why) => write!(f, "the server opens no websocket: {why}"),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Resolve { error, .. } | Self::Connect { error, .. } => Some(error),
            Self::Settings(error) => Some(error),
            Self::ServerName { .. }
            | Self::Handshake(_)
            | Self::Quic { .. }
            | Self::Proxy { .. }
            | Self::Web(_) => None,
        }
    }
}
