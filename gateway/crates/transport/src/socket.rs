//! What connections arrive on, and what they arrive as.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

use crate::address::{Address, Process};
use crate::inherited;
use crate::place::Place;
use crate::settings::Bind;

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Socket {
    /// By TCP.
    Tcp(TcpListener),
    /// By a Unix socket.
    Unix {
        listener: UnixListener,
        /// Its file, if we have made it: it goes when this does.
        _place: Option<Place>,
    },
}

/// A connection that has arrived.
#[derive(Debug)]
pub(crate) enum Arrived {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Binds and listens, with so many connections that the kernel may hold.
    pub(crate) fn listen(bind: &Bind, backlog: u32) -> io::Result<Self> {
        match bind {
            Bind::Address(address) => listen(*address, backlog).map(Self::Tcp),
            Bind::Unix { path, mode } => {
                let (listener, place) = Place::take(path, *mode)?;
                Ok(Self::Unix { listener: UnixListener::from_std(listener)?, _place: Some(place) })
            }
            Bind::Systemd { name } => inherited::take(name).and_then(Self::adopt),
        }
    }

    /// Takes over a socket that listens already.
    fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        let invalid = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        let socket = socket2::Socket::from(descriptor);
        let listens = socket.r#type().is_ok_and(|kind| kind == socket2::Type::STREAM)
            && socket.is_listener().unwrap_or(false);
        if !listens {
            return Err(invalid("it is no socket that listens for streams (ListenStream=)"));
        }
        // Processes that are started for some other purpose are not to have it.
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        match socket.domain()? {
            socket2::Domain::IPV4 | socket2::Domain::IPV6 => {
                TcpListener::from_std(socket.into()).map(Self::Tcp)
            }
            socket2::Domain::UNIX => UnixListener::from_std(OwnedFd::from(socket).into())
                .map(|listener| Self::Unix { listener, _place: None }),
            _ => Err(invalid("it is neither a TCP nor a Unix socket")),
        }
    }

    pub(crate) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(Address::Network),
            Self::Unix { .. } => Ok(Address::Unix(None)),
        }
    }

    /// The next connection. Cancel safe.
    pub(crate) async fn accept(&self) -> io::Result<(Arrived, Address)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                // A client that came by IPv4 to a listener of both is one of IPv4.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                Ok((Arrived::Tcp(stream), Address::Network(peer)))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred()?;
                let process = Process { uid: peer.uid(), gid: peer.gid(), pid: peer.pid() };
                Ok((Arrived::Unix(stream), Address::Unix(Some(process))))
            }
        }
    }
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Without it a restart fails for as long as old connections linger in TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}
