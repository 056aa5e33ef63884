//! The UDP socket of a QUIC listener, and those who knock at it.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{EndpointConfig, ServerConfig, TokioRuntime};
use rustls::pki_types::CertificateDer;
use socket2::SockRef;

use crate::identity::{PeerIdentity, TransportKind};
use crate::listener::BindError;
use crate::quic::{QuicSettings, QuicStream};
use crate::settings::{Bind, TlsSettings, TlsVersion};
use crate::tls::{Acceptor, HandshakeError, Ready, TlsConfigError, show_chain};

/// Clients that may wait to be accepted, bytes that may wait for one of them, and for all.
const WAITING_MAX: usize = 256;
const WAITING_BYTES: u64 = 64 << 10;
const WAITING_BYTES_ALL: u64 = 4 << 20;

/// Bytes of datagrams that may wait to be read. What the system gives by itself is less than a hundred first packets; where those are
/// dropped, clients try again after a second, and after two and four.
const RECEIVE_BUFFER: usize = 2 << 20;

/// A bound UDP socket on which QUIC is spoken.
pub(crate) struct Endpoint {
    endpoint: quinn::Endpoint,
    acceptor: Arc<Acceptor>,
    settings: QuicSettings,
    /// What the next handshake is made with, and what it was made of.
    current: Mutex<Terms>,
    handshakes: Handshakes,
}

/// What a handshake is made with: certificates and trust, and what the library makes of them.
type Terms = (Arc<Ready>, Arc<ServerConfig>);

/// Handshakes that are under way, and how many there may be.
struct Handshakes {
    under_way: Arc<AtomicUsize>,
    retry_from: usize,
    max: usize,
}

/// A client that wants a connection.
pub(crate) struct Knock {
    incoming: quinn::Incoming,
    terms: Terms,
    /// Bytes that the client may send ahead on all streams, if it may have several.
    window: u32,
    local: SocketAddr,
    _place: Place,
}

/// Counts as a handshake until it is dropped.
struct Place(Arc<AtomicUsize>);

impl Endpoint {
    /// Reads the certificates and binds. Needs a running tokio runtime.
    pub(crate) fn bind(address: SocketAddr, settings: &QuicSettings) -> Result<Self, BindError> {
        let tls = TlsSettings { min_version: TlsVersion::V1_3, ..settings.tls.clone() };
        let acceptor = Arc::new(Acceptor::load(&tls).map_err(BindError::Tls)?);
        let ready = acceptor.ready();
        let config = server_config(&ready, settings).map_err(BindError::Tls)?;
        let current = Mutex::new((ready, Arc::new(config.clone())));
        let invalid = |source| BindError::Address { bind: Bind::Address(address), source };
        let open = || {
            let socket = bind(address)?;
            let runtime = Arc::new(TokioRuntime);
            quinn::Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime)
        };
        let endpoint = open().map_err(invalid)?;
        let handshakes = Handshakes {
            under_way: Arc::default(),
            retry_from: settings.retry_from,
            max: settings.handshakes_max,
        };
        Ok(Self { endpoint, acceptor, settings: settings.clone(), current, handshakes })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    pub(crate) fn acceptor(&self) -> &Arc<Acceptor> {
        &self.acceptor
    }

    /// What a handshake that begins now is made with: the certificates that there are. Should they be no good for QUIC, those
    /// before them stay in use.
    fn terms(&self) -> Terms {
        let ready = self.acceptor.ready();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current.0, &ready)
            && let Ok(config) = server_config(&ready, &self.settings)
        {
            *current = (ready, Arc::new(config));
        }
        current.clone()
    }

    /// The next client, to which nothing has been answered yet. None when the endpoint is closed.
    ///
    /// Under load a client first has to show that its address is its own: an answer to anybody else costs one packet,
    /// and nothing is kept.
    pub(crate) async fn accept(&self) -> Option<Knock> {
        let local = self.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        loop {
            let incoming = self.endpoint.accept().await?;
            let Handshakes { under_way, retry_from, max } = &self.handshakes;
            let now = under_way.load(Ordering::Relaxed);
            if now >= *max {
                incoming.refuse();
                continue;
            }
            if now >= *retry_from && !incoming.remote_address_validated() {
                // It fails only for one that has been validated.
                let _ = incoming.retry();
                continue;
            }
            let (terms, place) = (self.terms(), Place::take(under_way));
            let window = self.settings.window_of_all();
            return Some(Knock { incoming, terms, window, local, _place: place });
        }
    }
}

impl Knock {
    /// Where the client sends from.
    pub(crate) fn peer(&self) -> SocketAddr {
        canonical(self.incoming.remote_address())
    }

    /// Whether the client has shown that it gets packets at its address.
    pub(crate) fn is_validated(&self) -> bool {
        self.incoming.remote_address_validated()
    }

    /// Has the client show that, and keeps nothing.
    pub(crate) fn retry(self) {
        // It fails only for one that has shown it, which then is refused.
        let _ = self.incoming.retry();
    }

    /// Does not answer; or refuses, where the client gets packets at its address.
    pub(crate) fn turn_away(self) {
        match self.is_validated() {
            true => self.incoming.refuse(),
            false => self.incoming.ignore(),
        }
    }

    /// Makes the handshake, and waits for the client's first stream.
    pub(crate) async fn establish(self) -> Result<(QuicStream, PeerIdentity), HandshakeError> {
        let Self { incoming, terms: (ready, config), window, local, _place } = self;
        let peer = incoming.remote_address();
        let local = SocketAddr::new(incoming.local_ip().unwrap_or(local.ip()), local.port());
        // Nothing of a client is taken before its handshake is complete (no 0-RTT): whoever records a CONNECT could
        // send it again.
        let connection = incoming.accept_with(config).map_err(HandshakeError::quic)?;
        let connection = connection.await.map_err(HandshakeError::quic)?;
        let mut identity = PeerIdentity {
            transport: TransportKind::Quic,
            tls_version: Some("1.3"),
            ..PeerIdentity::at(canonical(peer).into(), canonical(local).into())
        };
        let data =
            connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        if let Some(data) = data {
            identity.server_name = data.server_name;
            let name = |protocol: Vec<u8>| String::from_utf8_lossy(&protocol).into_owned();
            identity.alpn = data.protocol.map(name);
        }
        let chain = connection.peer_identity();
        let chain = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
        if let Some(chain) = chain {
            // The library does not say whether the session was resumed.
            show_chain(&mut identity, &chain, Some(&ready.clients))?;
        }
        let (send, receive) = connection.accept_bi().await.map_err(HandshakeError::quic)?;
        Ok((QuicStream::new(connection, send, receive, window), identity))
    }
}

/// A socket with as large a buffer as the system allows (`net.core.rmem_max`).
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    // The system takes less without an error; with one the buffer is as it was.
    let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    Ok(socket)
}

/// A client that came by IPv4 to a socket of both is one of IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Place {
    fn take(under_way: &Arc<AtomicUsize>) -> Self {
        under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(under_way))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn server_config(ready: &Ready, settings: &QuicSettings) -> Result<ServerConfig, TlsConfigError> {
    let mut tls = rustls::ServerConfig::clone(&ready.config);
    // QUIC allows no other value than this and the largest (RFC 9001, 4.6.1).
    tls.max_early_data_size = 0;
    let crypto = QuicServerConfig::try_from(Arc::new(tls))
        .map_err(|cause| TlsConfigError::Library(cause.to_string()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(settings.transport()))
        .migration(true)
        .max_incoming(WAITING_MAX)
        .incoming_buffer_size(WAITING_BYTES)
        .incoming_buffer_size_total(WAITING_BYTES_ALL);
    Ok(config)
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("local", &self.local_addr().ok()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Knock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knock").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_more_room_for_datagrams_than_the_system_gives() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let (ours, usual) = (bind(loopback).unwrap(), UdpSocket::bind(loopback).unwrap());
        let room = |socket: &UdpSocket| SockRef::from(socket).recv_buffer_size().unwrap();
        assert!(room(&ours) > room(&usual), "{} bytes", room(&ours));
    }
}
