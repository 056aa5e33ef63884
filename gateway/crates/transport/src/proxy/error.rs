//! Why what a proxy says is not believed.

use std::fmt;
use std::io;

use crate::proxy::header::HEADER_MAX;

/// Why a connection was given up before anything else was read.
#[derive(Debug)]
pub enum ProxyError {
    /// The peer closed before its header was whole.
    Closed,
    /// The socket failed.
    Io(io::Error),
    /// A proxy has sent something else first.
    Missing,
    /// A header from an address that is not one of the proxies.
    Untrusted,
    /// A header of another version than 2.
    Version(u8),
    /// A command that is neither LOCAL nor PROXY.
    Command(u8),
    /// An address family or transport that no stream has.
    Family(u8),
    /// A header of so many bytes.
    TooLong(usize),
    /// Addresses or extensions do not fit the length that is said.
    Truncated,
    /// The checksum is wrong.
    Checksum,
}

impl ProxyError {
    /// A constant name of the cause, for metrics and log fields.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Io(_) => "io",
            Self::Missing => "proxy-header-missing",
            Self::Untrusted => "proxy-not-listed",
            Self::Version(_) => "proxy-version",
            Self::Command(_) => "proxy-command",
            Self::Family(_) => "proxy-family",
            Self::TooLong(_) => "proxy-too-long",
            Self::Truncated => "proxy-truncated",
            Self::Checksum => "proxy-checksum",
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("proxy closed the connection before its header was whole"),
            Self::Io(cause) => write!(f, "connection failed before the proxy's header was whole ({cause})"),
            Self::Missing => f.write_str(
                "no header of the PROXY protocol, version 2, came first; proxy-protocol lists this address, so have the proxy send one (version 1 is not read), or remove the address",
            ),
            Self::Untrusted => f.write_str(
                "a header of the PROXY protocol came from an address that proxy-protocol does not list; add the address if it is a proxy of yours",
            ),
            Self::Version(version) => write!(
                f,
                "the proxy's header is of version {version}; set the proxy to send version 2"
            ),
            Self::Command(command) => {
                write!(f, "the proxy's header has command {command}; it must be 0 or 1")
            }
            Self::Family(family) => write!(
                f,
                "the proxy's header is about the family and transport {family:#04x}; it must be TCP over IPv4 (0x11) or IPv6 (0x21), or unknown"
            ),
            Self::TooLong(bytes) => write!(
                f,
                "the proxy's header has {bytes} bytes, the most is {HEADER_MAX}; have the proxy send fewer extensions"
            ),
            Self::Truncated => f.write_str(
                "the addresses or extensions of the proxy's header do not fit its length",
            ),
            Self::Checksum => f.write_str("the checksum of the proxy's header is wrong"),
        }
    }
}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(cause) => Some(cause),
            _ => None,
        }
    }
}
