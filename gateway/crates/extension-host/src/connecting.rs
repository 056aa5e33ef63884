//! What a guest can learn about the connection of a client.

use std::fmt;
use std::net::{AddrParseError, IpAddr};
use std::str::FromStr;

use crate::answer::Failure;

/// Bytes of text from the client, its password included, that a guest is given for one connection. A client
/// above it is refused rather than shortened: two clients must never look alike to a guest.
pub const MAX_CLIENT_TEXT_BYTES: usize = 128 << 10;

/// Bytes of DER of all certificates of one client that a guest is given.
pub const MAX_CERTIFICATE_BYTES: usize = 64 << 10;

/// One client's CONNECT and what lies beneath it. Shared with the guests that are asked about it, read
/// only during a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connecting {
    /// Number of the network connection, unique while the gateway runs.
    pub connection_id: u64,
    /// Client identifier, after an empty one was replaced.
    pub client_id: String,
    /// User name of CONNECT.
    pub username: Option<String>,
    /// MQTT version of CONNECT.
    pub version: mqtt::Version,
    /// What carries the bytes.
    pub transport: Transport,
    /// Name of the listener in `gateway.toml`.
    pub listener: String,
    /// Address of the peer.
    pub peer_address: PeerAddress,
    /// SNI of TLS.
    pub server_name: Option<String>,
    /// ALPN agreed in TLS.
    pub alpn: Option<String>,
    /// Seconds; 0 is none.
    pub keep_alive: u16,
    /// Clean Start or Clean Session.
    pub clean_start: bool,
    /// Seconds; `u32::MAX` is never.
    pub session_expiry: u32,
    /// User properties of CONNECT in their order.
    pub user_properties: Vec<(String, String)>,
    /// Topic of the will.
    pub will_topic: Option<String>,
    /// DER of the verified chain, the client's own first.
    pub certificates: Vec<Vec<u8>>,
    /// What was read from the client's own certificate.
    pub certificate: Option<CertificateInfo>,
}

impl Connecting {
    /// Whether a guest may be given all of this and `secret_bytes` of password.
    pub(crate) fn check_size(&self, secret_bytes: usize) -> Result<(), Failure> {
        let some = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let properties: usize = self.user_properties.iter().map(|(n, v)| n.len() + v.len()).sum();
        let text = self.client_id.len()
            + some(&self.username)
            + some(&self.server_name)
            + some(&self.alpn)
            + some(&self.will_topic)
            + properties
            + secret_bytes;
        within("what the client sent in CONNECT", text, MAX_CLIENT_TEXT_BYTES)?;
        let der = self.certificates.iter().map(Vec::len).sum();
        within("the client's certificate chain", der, MAX_CERTIFICATE_BYTES)
    }
}

fn within(what: &'static str, bytes: usize, limit: usize) -> Result<(), Failure> {
    if bytes > limit { Err(Failure::ClientTooLarge { what, bytes, limit }) } else { Ok(()) }
}

/// What carries the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Plain TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// QUIC over UDP.
    Quic,
    /// WebSocket, with or without TLS beneath it.
    WebSocket,
    /// A Unix socket.
    Unix,
    /// Nothing: the client is a bridge of this gateway.
    Bridge,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::WebSocket => "websocket",
            Self::Unix => "unix",
            Self::Bridge => "bridge",
        })
    }
}

/// Where a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// In a network.
    Ip(IpAddr),
    /// On this machine, by a Unix socket; guests read `unix`.
    Unix,
}

impl From<IpAddr> for PeerAddress {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl FromStr for PeerAddress {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        if text == "unix" { Ok(Self::Unix) } else { text.parse().map(Self::Ip) }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// The parts of a client certificate that policies ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateInfo {
    /// SHA-256 of the DER, lower-case hexadecimal.
    pub sha256: String,
    /// Subject as a distinguished name.
    pub subject: String,
    /// First common name of the subject.
    pub common_name: Option<String>,
    /// Issuer as a distinguished name.
    pub issuer: String,
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// End of validity in seconds since 1970.
    pub not_after_unix_s: u64,
    /// Alternative names: DNS.
    pub san_dns: Vec<String>,
    /// Alternative names: URI.
    pub san_uri: Vec<String>,
    /// Alternative names: mail.
    pub san_email: Vec<String>,
    /// Alternative names: IP address.
    pub san_ip: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_read_as_it_is_shown() {
        for text in ["192.0.2.1", "2001:db8::1", "unix"] {
            let address: PeerAddress = text.parse().expect("an address");
            assert_eq!(address.to_string(), text);
        }
        assert!("Unix".parse::<PeerAddress>().is_err());
    }
}
