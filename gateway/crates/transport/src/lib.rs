//! Byte streams of TCP, TLS, QUIC, Unix sockets and WebSocket, each with the identity of its peer.
//!
//! A [`Listener`] yields an [`Incoming`] per connection as soon as the kernel has accepted it;
//! [`Incoming::establish`] then makes the handshakes in the caller's own task, so that one slow
//! peer never holds up the next. What comes out is a [`Connection`]: a [`Stream`] and the
//! [`PeerIdentity`] of whoever is at its other end.
//!
//! The other way round, [`DialSettings::dial`] makes a connection as a client; [`SigningKey`] signs what it is to show.
//!
//! Nothing here knows what the bytes mean, limits how many connections there are or how long a
//! handshake may take: the caller does. No type of the TLS library leaves this crate.

mod address;
mod arrival;
mod clock;
mod connection;
mod dial;
mod identity;
mod inherited;
mod listener;
mod network;
mod pem;
pub mod pki;
mod place;
mod proxy;
mod quic;
mod settings;
mod signing;
mod socket;
mod tls;
mod utc;
mod web;

pub use address::{Address, Process};
pub use arrival::ArrivalError;
pub use clock::hold_time;
pub use connection::{Connection, Stream};
pub use dial::{
    DialError, DialProxy, DialProxyUser, DialSettings, DialTls, DialWay, DialWeb, Dialed, ProxyKind,
};
pub use identity::{Certificate, CertificateError, CertificateKey, PeerIdentity, TransportKind};
pub use listener::{BindError, Incoming, Listener, Origin, SHORTAGE_PAUSE};
pub use network::Network;
pub use pem::FileError;
pub use proxy::{ProxyError, ProxyHeader, ProxyRest};
pub use quic::{Congestion, QuicSettings, QuicStream, SideStream, SideStreams};
pub use settings::{
    Bind, CertificateFiles, ClientAuth, Kind, RevocationPolicy, Settings, TlsSettings, TlsVersion,
    WebSettings,
};
pub use signing::{SigningAlgorithm, SigningError, SigningKey};
pub use tls::{
    Credential, CredentialKind, Credentials, HandshakeError, Reloaded, Stamp, TlsConfigError,
    TlsStream,
};
pub use utc::utc;
pub use web::{End, FrameDecoder, FrameFault, UpgradeError, WebStream};
