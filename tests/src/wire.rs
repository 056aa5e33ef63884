use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::PATIENCE;
use crate::quic::{self, QuicWire};
use crate::websocket::{MQTT, WebSocket};

/// A byte stream to a gateway on loopback. Reads give up after a time.
#[derive(Debug)]
pub enum Wire {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// A stream of QUIC.
    Quic(Box<QuicWire>),
    /// What is inside a WebSocket over one of the others.
    Web(Box<WebSocket>),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Wire {
    /// Opens a TCP connection.
    ///
    /// # Errors
    /// If nobody accepts it.
    pub fn plain(port: u16) -> io::Result<Self> {
        Self::plain_to((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Opens a TCP connection to this address.
    ///
    /// # Errors
    /// If nobody accepts it.
    pub fn plain_to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Plain(stream))
    }

    /// Opens a TCP connection to loopback from this address of it.
    ///
    /// # Errors
    /// If nobody accepts it.
    pub fn plain_from(source: Ipv4Addr, port: u16) -> io::Result<Self> {
        let stream = quic::connect_from(source, (Ipv4Addr::LOCALHOST, port).into())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Plain(stream))
    }

    /// Opens a TLS connection that trusts the certificate in the file `ca` only.
    ///
    /// # Errors
    /// If nobody accepts it, or the handshake fails.
    pub fn tls(port: u16, ca: &Path) -> io::Result<Self> {
        Self::tls_as(port, ca, None)
    }

    /// As [`Wire::tls`], with the certificate and the key of a client in PEM files.
    ///
    /// # Errors
    /// If nobody accepts it, or the handshake fails.
    pub fn tls_as(port: u16, ca: &Path, identity: Option<(&Path, &Path)>) -> io::Result<Self> {
        Self::tls_for(b"mqtt", port, ca, identity)
    }

    /// Opens a connection by a Unix socket.
    ///
    /// # Errors
    /// If nobody accepts it.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Unix(stream))
    }

    /// A WebSocket over TLS, at the usual path.
    ///
    /// # Errors
    /// If nobody accepts it, or a handshake fails.
    pub fn wss(port: u16, ca: &Path) -> io::Result<Self> {
        let tls = Self::tls_for(b"http/1.1", port, ca, None)?;
        Ok(Self::Web(Box::new(WebSocket::open(tls, MQTT)?)))
    }

    /// A WebSocket without TLS, at the usual path.
    ///
    /// # Errors
    /// If nobody accepts it, or the handshake fails.
    pub fn ws(port: u16) -> io::Result<Self> {
        Ok(Self::Web(Box::new(WebSocket::open(Self::plain(port)?, MQTT)?)))
    }

    /// As [`Wire::tls_as`], offering this application protocol.
    ///
    /// # Errors
    /// If nobody accepts it, or the handshake fails.
    pub fn tls_for(
        alpn: &[u8],
        port: u16,
        ca: &Path,
        identity: Option<(&Path, &Path)>,
    ) -> io::Result<Self> {
        Self::tls_to(alpn, (Ipv4Addr::LOCALHOST, port).into(), ca, identity)
    }

    /// As [`Wire::tls_for`], to this address.
    ///
    /// # Errors
    /// If nobody accepts it, or the handshake fails.
    pub fn tls_to(
        alpn: &[u8],
        address: SocketAddr,
        ca: &Path,
        identity: Option<(&Path, &Path)>,
    ) -> io::Result<Self> {
        Self::plain_to(address)?.encrypted(alpn, ca, identity)
    }

    /// Makes a TLS handshake on a TCP connection.
    ///
    /// # Errors
    /// If the handshake fails.
    pub fn encrypted(
        self,
        alpn: &[u8],
        ca: &Path,
        identity: Option<(&Path, &Path)>,
    ) -> io::Result<Self> {
        let Self::Plain(mut stream) = self else { unreachable!("TLS is spoken over TCP") };
        let config = client_config(alpn, ca, identity);
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session = ClientConnection::new(Arc::new(config), name).expect("a TLS client");
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    /// Opens a QUIC connection and its first stream, with the certificate and the key of a client in PEM files if there are
    /// any. The gateway hears of the stream with the first bytes that are written.
    ///
    /// # Errors
    /// If nobody accepts it, or the handshake fails.
    pub fn quic(port: u16, ca: &Path, identity: Option<(&Path, &Path)>) -> io::Result<Self> {
        Self::quic_from(Ipv4Addr::LOCALHOST, port, ca, identity)
    }

    /// As [`Wire::quic`], from this address of loopback.
    ///
    /// # Errors
    /// If nobody accepts it, or the handshake fails.
    pub fn quic_from(
        source: Ipv4Addr,
        port: u16,
        ca: &Path,
        identity: Option<(&Path, &Path)>,
    ) -> io::Result<Self> {
        Ok(Self::Quic(Box::new(QuicWire::connect(source, port, ca, identity, None)?)))
    }

    /// As [`Wire::quic`], on a connection each of whose streams takes so many bytes ahead of what is read.
    ///
    /// # Errors
    /// If nobody accepts it, or the handshake fails.
    pub fn quic_narrow(port: u16, ca: &Path, window: u32) -> io::Result<Self> {
        Ok(Self::Quic(Box::new(QuicWire::connect(
            Ipv4Addr::LOCALHOST,
            port,
            ca,
            None,
            Some(window),
        )?)))
    }

    /// How long a read waits.
    pub fn set_patience(&self, patience: Duration) {
        // The system takes 0 for no limit.
        let patience = patience.max(Duration::from_millis(1));
        match self.below() {
            Below::Socket(socket) => {
                socket.set_read_timeout(Some(patience)).expect("a socket takes a time-out");
            }
            Below::Unix(socket) => {
                socket.set_read_timeout(Some(patience)).expect("a socket takes a time-out");
            }
            Below::Quic(stream) => stream.set_patience(patience),
        }
    }

    /// Ends the sending side without a word.
    pub fn hang_up(&mut self) {
        match self {
            Self::Quic(stream) => stream.finish(),
            // The peer may have gone already.
            Self::Plain(_) | Self::Tls(_) | Self::Web(_) | Self::Unix(_) => match self.below() {
                Below::Socket(socket) => drop(socket.shutdown(Shutdown::Write)),
                Below::Unix(socket) => drop(socket.shutdown(Shutdown::Write)),
                Below::Quic(_) => {}
            },
        }
    }

    /// Whether the peer closes within `patience`, after whatever it still sends.
    pub fn closes_within(&mut self, patience: Duration) -> bool {
        self.set_patience(patience);
        let mut rest = [0; 4096];
        loop {
            match self.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if is_timeout(&error) => return false,
                Err(_) => return true,
            }
        }
    }

    fn below(&self) -> Below<'_> {
        match self {
            Self::Plain(stream) => Below::Socket(stream),
            Self::Tls(stream) => Below::Socket(&stream.sock),
            Self::Quic(stream) => Below::Quic(stream),
            Self::Web(socket) => socket.inner.below(),
            Self::Unix(stream) => Below::Unix(stream),
        }
    }
}

/// What carries everything.
enum Below<'a> {
    Socket(&'a TcpStream),
    Unix(&'a UnixStream),
    Quic(&'a QuicWire),
}

/// What a TLS client is told: the application protocol, to trust the certificate in the file `ca` only, and who it is.
pub(crate) fn client_config(
    alpn: &[u8],
    ca: &Path,
    identity: Option<(&Path, &Path)>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(ca).expect("a certificate in PEM");
    roots.add(ca).expect("a certificate authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.3 and 1.2")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate =
                CertificateDer::from_pem_file(certificate).expect("a certificate in PEM");
            let key = PrivateKeyDer::from_pem_file(key).expect("a key in PEM");
            config.with_client_auth_cert(vec![certificate], key).expect("they fit")
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
            Self::Quic(stream) => stream.read(into),
            Self::Web(socket) => socket.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Quic(stream) => stream.write(bytes),
            Self::Web(socket) => socket.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Quic(stream) => stream.flush(),
            Self::Web(socket) => socket.flush(),
            Self::Unix(stream) => stream.flush(),
        }
    }
}
