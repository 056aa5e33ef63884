//! What a listener is told.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::network::Network;

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub bind: Bind,
    /// What is spoken below the application protocol.
    pub kind: Kind,
    /// Where the bytes are those inside a WebSocket, how it is opened.
    pub web: Option<WebSettings>,
    /// Addresses of proxies in front, which must say first whose connection they pass on (PROXY protocol,
    /// version 2). Others must not, and are who they are.
    pub proxies: Vec<Network>,
    /// Connections that the kernel may hold between its handshake and our accept.
    pub backlog: u32,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// Address and port; port 0 lets the system choose. `[::]` takes IPv4 connections too.
    Address(SocketAddr),
    /// A Unix socket: without TLS and without proxies in front.
    Unix {
        /// Its file. One that a program left behind is replaced.
        path: PathBuf,
        /// Who may use it, such as 0o660.
        mode: u32,
    },
    /// The socket that systemd has opened under this name, in a network or not.
    Systemd {
        /// Its name (`FileDescriptorName=`).
        name: String,
    },
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Systemd { name } => write!(f, "systemd:{name}"),
        }
    }
}

/// How a WebSocket (RFC 6455) is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSettings {
    /// Where it is, such as `/mqtt`.
    pub path: String,
    /// What is spoken inside, and what a client must offer, such as `mqtt`.
    pub subprotocol: String,
    /// Pages that may connect besides those of the gateway's own host: their origins, such as
    /// `https://panel.example`, or `null`, or `*` for any. Who sends no Origin is no browser, and may.
    pub origins: Vec<String>,
}

/// What is spoken below the application protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Bytes in the clear, by TCP or a Unix socket.
    Tcp,
    /// TLS over TCP.
    Tls(TlsSettings),
}

/// The TLS side of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file with the server's certificate chain, leaf first.
    pub cert: PathBuf,
    /// PEM file with the private key of the leaf (PKCS#8, PKCS#1 or SEC1, not encrypted).
    pub key: PathBuf,
    /// Further certificates. A client that asks for a name (SNI) is shown the first certificate that
    /// holds it, in this order behind the one above, and the one above if none does.
    pub more: Vec<CertificateFiles>,
    /// PEM file with the authorities that client certificates must chain to. Needed exactly when
    /// `client_auth` is not [`ClientAuth::None`].
    pub client_ca: Option<PathBuf>,
    /// Whether clients present a certificate.
    pub client_auth: ClientAuth,
    /// PEM files with revocation lists of the authorities that issue client certificates. Only with
    /// `client_ca`.
    pub client_crls: Vec<PathBuf>,
    /// What becomes of a client whose standing no list tells.
    pub revocation: RevocationPolicy,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Application protocols (RFC 7301), best first. A client that offers none is accepted; one
    /// that offers only others is refused. Empty: the extension is ignored.
    pub alpn: Vec<Vec<u8>>,
}

/// A certificate and its key, as [`TlsSettings`] has the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM file with the chain, leaf first. The leaf must hold a DNS name.
    pub cert: PathBuf,
    /// PEM file with the private key of the leaf.
    pub key: PathBuf,
}

/// What becomes of a client certificate of which no revocation list says that it is revoked.
/// Without any list nothing is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RevocationPolicy {
    /// Whether it is refused if the issuer of a certificate of its chain has no list.
    pub refuse_unknown: bool,
    /// Whether it is refused if the list should have been replaced by now (nextUpdate). A list that
    /// is out of date goes on revoking what it names either way.
    pub refuse_outdated: bool,
}

/// Whether clients present a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    None,
    /// They are asked; without one they are let through, with a bad one they are refused.
    Optional,
    /// They are refused without a good one.
    Required,
}

/// A TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with forward-secret AEAD cipher suites only.
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}
