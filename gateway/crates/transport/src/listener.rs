//! The socket that connections arrive on.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::arrival::ArrivalError;
use crate::connection::{Connection, Stream};
use crate::identity::{Certificate, PeerIdentity, TransportKind};
use crate::network::Network;
use crate::proxy::{self, ProxyHeader};
use crate::quic::{Endpoint, QuicSettings};
use crate::settings::{Bind, Kind, Settings, WebSettings};
use crate::socket::{Arrived, Socket};
use crate::tls::{Acceptor, Credentials, HandshakeError, TlsConfigError};
use crate::web;

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    local: Address,
    acceptor: Option<Arc<Acceptor>>,
    terms: Arc<Terms>,
}

/// What holds for each connection besides TLS.
#[derive(Debug, Default)]
struct Terms {
    web: Option<WebSettings>,
    proxies: Vec<Network>,
}

impl Listener {
    /// Reads the certificates, then binds and listens. Needs a running tokio runtime.
    ///
    /// # Errors
    /// If a file of the TLS settings cannot be used or the address cannot be bound.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        let acceptor = match &settings.kind {
            Kind::Tcp => None,
            Kind::Tls(tls) => Some(Arc::new(Acceptor::load(tls).map_err(BindError::Tls)?)),
            Kind::Quic(quic) => return Self::bind_quic(&settings.bind, quic),
        };
        let refused = |source| BindError::Address { bind: settings.bind.clone(), source };
        let socket = Socket::listen(&settings.bind, settings.backlog).map_err(refused)?;
        let local = socket.address().map_err(refused)?;
        if acceptor.is_some() && matches!(local, Address::Unix(_)) {
            let why = "it is a Unix socket, in which tls is not spoken";
            return Err(refused(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let terms = Terms { web: settings.web.clone(), proxies: settings.proxies.clone() };
        Ok(Self { socket, local, acceptor, terms: Arc::new(terms) })
    }

    fn bind_quic(bind: &Bind, settings: &QuicSettings) -> Result<Self, BindError> {
        let refused = |source| BindError::Address { bind: bind.clone(), source };
        let Bind::Address(address) = bind else {
            let why = "quic is spoken at an address and a port only";
            return Err(refused(io::Error::new(io::ErrorKind::InvalidInput, why)));
        };
        let endpoint = Endpoint::bind(*address, settings)?;
        let acceptor = Some(Arc::clone(endpoint.acceptor()));
        let socket = Socket::Quic(Box::new(endpoint));
        let local = socket.address().map_err(refused)?;
        Ok(Self { socket, local, acceptor, terms: Arc::default() })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Address {
        self.local
    }

    /// The certificate that it presents now to whoever asks for none of the others' names.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        let ready = self.acceptor.as_ref()?.ready();
        ready.presented.first().map(|presented| presented.leaf.clone())
    }

    /// Its certificates and keys, to be kept fresh while it accepts; `None` where it speaks no TLS.
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        self.acceptor.as_ref().map(Credentials::of)
    }

    /// The next connection, as soon as the kernel has it: no byte of it has been read yet.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// When the system is short of something, such as file descriptors. The error is a report,
    /// not an end: a pause of [`SHORTAGE_PAUSE`] has been made and the listener goes on working,
    /// so log it and call again. A connection that its peer gave up in the queue is passed over.
    pub async fn accept(&self) -> io::Result<Incoming> {
        loop {
            match self.socket.accept().await {
                Ok((socket, peer)) => {
                    return Ok(Incoming {
                        peer,
                        reached: None,
                        identified: self.terms.proxies.is_empty(),
                        listening: self.local,
                        socket,
                        acceptor: self.acceptor.clone(),
                        terms: Arc::clone(&self.terms),
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tokio::time::sleep(SHORTAGE_PAUSE).await;
                    return Err(error);
                }
            }
        }
    }
}

/// A connection that was accepted and not yet greeted.
#[derive(Debug)]
pub struct Incoming {
    /// Where the peer is; the address of a proxy in front until [`Incoming::identify`].
    pub peer: Address,
    /// What the peer reached, where that was a proxy.
    reached: Option<Address>,
    identified: bool,
    listening: Address,
    socket: Arrived,
    acceptor: Option<Arc<Acceptor>>,
    terms: Arc<Terms>,
}

/// Where a connection comes from, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From this machine by a Unix socket, or from a proxy for itself.
    Local,
    /// From a proxy that has yet to say whose connection it is.
    Unknown,
    /// Somebody claims to be there, and has not shown that it gets packets there (QUIC).
    Claimed(IpAddr),
    /// From there.
    Shown(IpAddr),
}

impl Incoming {
    /// Where it comes from, as far as is known by now.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let Some(address) = self.peer.ip() else { return Origin::Local };
        if let Arrived::Quic(knock) = &self.socket {
            return match knock.is_validated() {
                true => Origin::Shown(address),
                false => Origin::Claimed(address),
            };
        }
        // What a proxy has said counts, wherever that is.
        let is_proxy = self.reached.is_none()
            && self.terms.proxies.iter().any(|network| network.contains(address));
        match (is_proxy, self.identified) {
            (false, _) => Origin::Shown(address),
            (true, false) => Origin::Unknown,
            (true, true) => Origin::Local,
        }
    }

    /// Has a peer that only claims to be somewhere come again and show it, by a Retry; nothing is kept. Others are turned
    /// away.
    pub fn prove(self) {
        match self.socket {
            Arrived::Quic(knock) => knock.retry(),
            Arrived::Tcp(_) | Arrived::Unix(_) => self.turn_away(),
        }
    }

    /// Ends the connection at the least cost, and nothing of it remains, in the kernel either: without a word, unless it is
    /// QUIC and the peer is where it says; then it hears that it is refused, and does not ask again.
    pub fn turn_away(self) {
        match self.socket {
            // If it fails the connection ends in order, which costs a little more.
            Arrived::Tcp(socket) => drop(socket.set_zero_linger()),
            Arrived::Quic(knock) => knock.turn_away(),
            Arrived::Unix(_) => {}
        }
    }

    /// Finds out who the peer is, where proxies in front have to say so; at once where there are none.
    ///
    /// It waits for the proxy as long as the proxy likes: wrap it with a time-out.
    ///
    /// # Errors
    /// If a proxy does not say it, or somebody does who is none. Nothing is told them.
    pub async fn identify(&mut self) -> Result<(), ArrivalError> {
        if self.identified {
            return Ok(());
        }
        // What comes by a Unix socket comes from this machine.
        if let Arrived::Tcp(socket) = &mut self.socket {
            let header = proxy::announced(socket, &self.terms.proxies).await?;
            if let ProxyHeader::Of { source, destination } = header {
                (self.peer, self.reached) = (source.into(), Some(destination.into()));
            }
        }
        self.identified = true;
        Ok(())
    }

    /// Makes the handshake of TLS or QUIC, and then opens the WebSocket, where the listener speaks them; at
    /// once where it speaks none of them. Before that it does what [`Incoming::identify`] does, if nobody has.
    ///
    /// It waits for the peer as long as the peer likes: wrap it with a time-out. Dropping it closes
    /// the connection.
    ///
    /// # Errors
    /// If the peer goes away, breaks a protocol or is refused; it has then been told, with a TLS alert or
    /// an answer of HTTP.
    pub async fn establish(mut self) -> Result<Connection, ArrivalError> {
        self.identify().await?;
        let terms = Arc::clone(&self.terms);
        let Connection { stream, mut peer } = self.secure().await?;
        let Some(web) = &terms.web else { return Ok(Connection { stream, peer }) };
        let encrypted = peer.transport == TransportKind::Tls;
        peer.transport = TransportKind::WebSocket;
        let stream = web::upgrade(stream, web, encrypted).await?;
        Ok(Connection { stream: Stream::Web(Box::new(stream)), peer })
    }

    /// Makes the handshake of TLS or QUIC where the listener speaks it.
    async fn secure(self) -> Result<Connection, HandshakeError> {
        let Self { peer, reached, listening, socket, acceptor, .. } = self;
        let socket = match socket {
            Arrived::Tcp(socket) => socket,
            Arrived::Quic(knock) => {
                let (stream, peer) = knock.establish().await?;
                return Ok(Connection { stream: Stream::Quic(Box::new(stream)), peer });
            }
            Arrived::Unix(socket) => {
                let peer = PeerIdentity::at(peer, listening);
                return Ok(Connection { stream: Stream::Unix(socket), peer });
            }
        };
        socket.set_nodelay(true).map_err(HandshakeError::Io)?;
        let own = socket.local_addr().ok();
        let own = own.map(|own| SocketAddr::new(own.ip().to_canonical(), own.port()).into());
        let identity = PeerIdentity::at(peer, reached.or(own).unwrap_or(listening));
        match acceptor {
            None => Ok(Connection { stream: Stream::Tcp(socket), peer: identity }),
            Some(acceptor) => {
                let (stream, peer) = acceptor.accept(socket, identity).await?;
                Ok(Connection { stream: Stream::Tls(Box::new(stream)), peer })
            }
        }
    }
}

/// Why a listener could not be opened.
#[derive(Debug)]
pub enum BindError {
    /// The address could not be bound.
    Address {
        /// Where it was to listen.
        bind: Bind,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS settings cannot be used.
    Tls(TlsConfigError),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(cause) => cause.fmt(f),
            Self::Address { bind, source } => {
                let is_unix = matches!(bind, Bind::Unix { .. });
                let is_systemd = matches!(bind, Bind::Systemd { .. });
                write!(f, "cannot listen on {bind} ({source}); ")?;
                f.write_str(match source.kind() {
                    io::ErrorKind::AddrInUse if is_unix => "stop the program that does, or choose another path",
                    _ if is_systemd => {
                        "start the gateway by a service with a socket unit that has ListenStream= and FileDescriptorName= for it"
                    }
                    _ if is_unix => {
                        "its directory must exist and be writable to the gateway and not to everybody, and nothing but a socket be at its path"
                    }
                    io::ErrorKind::AddrInUse => {
                        "another process has this port: stop it or choose another port"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "ports below 1024 need CAP_NET_BIND_SERVICE: grant it or choose a higher port"
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        "no interface of this machine has the address: use one that does, or 0.0.0.0"
                    }
                    _ => "choose an address and port that this machine can listen on",
                })
            }
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address { source, .. } => Some(source),
            Self::Tls(cause) => Some(cause),
        }
    }
}

/// How long accepting rests when the system is short of something. In that time some connections
/// end and give back what they held; without it the loop would spin.
pub const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// accept(2) also reports what happened to the connection at the head of the queue: the next one
/// may be sound.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
