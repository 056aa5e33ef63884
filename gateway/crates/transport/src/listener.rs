//! The socket that connections arrive on.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::arrival::ArrivalError;
use crate::connection::{Connection, Stream};
use crate::identity::{Certificate, PeerIdentity, TransportKind};
use crate::network::Network;
use crate::proxy::{self, ProxyHeader};
use crate::settings::{Kind, Settings, WebSettings};
use crate::tls::{Acceptor, HandshakeError, TlsConfigError};
use crate::web;

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    acceptor: Option<Arc<Acceptor>>,
    terms: Arc<Terms>,
}

/// What holds for each connection besides TLS.
#[derive(Debug)]
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
        };
        let (socket, local) = listen(settings)
            .map_err(|source| BindError::Address { bind: settings.bind, source })?;
        let terms = Terms { web: settings.web.clone(), proxies: settings.proxies.clone() };
        Ok(Self { socket, local, acceptor, terms: Arc::new(terms) })
    }

    /// The address and port that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The server certificate that it presents: the place to see that it ends soon, or has ended.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.acceptor.as_ref().map(|acceptor| acceptor.certificate())
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
    /// The peer's address and port; those of a proxy in front until [`Incoming::identify`].
    pub peer: SocketAddr,
    /// What the peer reached, where that was a proxy.
    reached: Option<SocketAddr>,
    identified: bool,
    listening: SocketAddr,
    socket: TcpStream,
    acceptor: Option<Arc<Acceptor>>,
    terms: Arc<Terms>,
}

impl Incoming {
    /// Finds out who the peer is, where proxies in front have to say so; at once where there are none.
    ///
    /// It waits for the proxy as long as the proxy likes: wrap it with a time-out.
    ///
    /// # Errors
    /// If a proxy does not say it, or somebody does who is none. Nothing is told them.
    pub async fn identify(&mut self) -> Result<(), ArrivalError> {
        if !self.identified {
            let header = proxy::announced(&mut self.socket, &self.terms.proxies).await?;
            if let ProxyHeader::Of { source, destination } = header {
                (self.peer, self.reached) = (source, Some(destination));
            }
            self.identified = true;
        }
        Ok(())
    }

    /// Makes the handshake of TLS, and then opens the WebSocket, where the listener speaks them; at once
    /// where it speaks neither. Before that it does what [`Incoming::identify`] does, if nobody has.
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

    /// Makes the handshake of TLS where the listener speaks it.
    async fn secure(self) -> Result<Connection, HandshakeError> {
        let Self { peer, reached, listening, socket, acceptor, .. } = self;
        socket.set_nodelay(true).map_err(HandshakeError::Io)?;
        let local = reached.or(socket.local_addr().ok()).unwrap_or(listening);
        let identity = PeerIdentity::of_tcp(peer, local);
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
        /// The address that was asked for.
        bind: SocketAddr,
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
                write!(f, "cannot listen on {bind} ({source}); ")?;
                f.write_str(match source.kind() {
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

fn listen(settings: &Settings) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if settings.bind.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Without it a restart fails for as long as old connections linger in TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(settings.bind)?;
    let listener = socket.listen(settings.backlog)?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

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
