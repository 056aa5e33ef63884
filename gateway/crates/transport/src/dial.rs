//! Connections that this side begins, as a client: TCP, TLS and WebSocket, through a proxy if need be, and QUIC.

mod carrier;
mod error;
mod proxy;
mod quic;
mod race;
mod tls;
mod web;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::settings::CertificateFiles;
use carrier::Carrier;
use quic::QuicDialed;
use web::WebClient;

pub use error::DialError;
pub use proxy::{DialProxy, DialProxyUser, ProxyKind};
pub use web::DialWeb;

/// Where to connect, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialSettings {
    /// A name, which is resolved for each connection, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What is spoken there.
    pub way: DialWay,
}

/// What carries the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialWay {
    /// TCP.
    Tcp {
        /// `None` for TCP in the clear.
        tls: Option<DialTls>,
        /// Whether the bytes are inside a WebSocket.
        web: Option<DialWeb>,
        /// Whoever makes the connection in our place.
        proxy: Option<DialProxy>,
    },
    /// The first bidirectional stream of a QUIC connection, which goes on where this machine's address changes.
    Quic {
        /// Certificates and names; QUIC has TLS 1.3 only, and needs a protocol to offer.
        tls: DialTls,
    },
}

/// TLS as a client; 1.3, or 1.2 where the server has nothing newer. The files are read for each connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DialTls {
    /// PEM file with the authorities that are trusted instead of the system's.
    pub ca: Option<std::path::PathBuf>,
    /// What the server is shown, if it asks.
    pub identity: Option<CertificateFiles>,
    /// The name that the server must prove, and that it is told (SNI); the host if `None`.
    pub server_name: Option<String>,
    /// Application protocols to offer (ALPN).
    pub alpn: Vec<Vec<u8>>,
}

/// A connection that was made. One task is to read and to write it.
#[derive(Debug)]
pub struct Dialed(Inner);

#[derive(Debug)]
enum Inner {
    Plain(Carrier),
    Web(Box<WebClient<Carrier>>),
    Quic(Box<QuicDialed>),
}

impl DialSettings {
    /// How TLS is spoken, if it is.
    #[must_use]
    pub fn tls(&self) -> Option<&DialTls> {
        match &self.way {
            DialWay::Tcp { tls, .. } => tls.as_ref(),
            DialWay::Quic { tls } => Some(tls),
        }
    }

    /// Connects. How long that may take is the caller's to say.
    ///
    /// # Errors
    /// Where it failed, and what may help.
    pub async fn dial(&self) -> Result<Dialed, DialError> {
        // What is wrong with the files is found before anybody is asked for anything.
        let tls = match self.tls() {
            Some(tls) => Some((self.config(tls).await?, self.server_name(tls)?)),
            None => None,
        };
        match (&self.way, tls) {
            (DialWay::Quic { .. }, Some((config, name))) => {
                let addresses = resolve(&self.host, self.port).await?;
                let dialed = quic::dial(addresses, config, &name.to_str()).await?;
                Ok(Dialed(Inner::Quic(Box::new(dialed))))
            }
            (DialWay::Tcp { web, proxy, .. }, tls) => {
                let socket = self.socket(proxy.as_ref()).await?;
                let carrier = match tls {
                    None => Carrier::Tcp(socket),
                    Some((config, name)) => {
                        let stream = TlsConnector::from(config).connect(name, socket).await;
                        let stream = stream.map_err(|error| DialError::handshake(&error))?;
                        Carrier::Tls(Box::new(stream))
                    }
                };
                let Some(web) = web else { return Ok(Dialed(Inner::Plain(carrier))) };
                let opened = web.open(carrier, &self.host, self.port, self.tls().is_some()).await;
                Ok(Dialed(Inner::Web(Box::new(opened?))))
            }
            (DialWay::Quic { .. }, None) => {
                Err(DialError::Handshake("quic has no settings of tls".to_owned()))
            }
        }
    }

    /// A connection to the server itself, or to it by the proxy.
    async fn socket(&self, proxy: Option<&DialProxy>) -> Result<TcpStream, DialError> {
        match proxy {
            None => connect(&self.host, self.port).await,
            Some(proxy) => proxy.connect(&self.host, self.port).await,
        }
    }

    async fn config(&self, tls: &DialTls) -> Result<Arc<ClientConfig>, DialError> {
        let settings = tls.clone();
        tokio::task::spawn_blocking(move || settings.config())
            .await
            .map_err(|_| DialError::Handshake("the settings could not be read".to_owned()))?
            .map_err(DialError::Settings)
    }

    fn server_name(&self, tls: &DialTls) -> Result<ServerName<'static>, DialError> {
        let name = tls.server_name.as_ref().unwrap_or(&self.host);
        ServerName::try_from(name.clone()).map_err(|_| DialError::ServerName { name: name.clone() })
    }
}

/// The addresses that a name has now; at least one.
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |error| DialError::Resolve { host: host.to_owned(), error };
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await.map_err(failed)?.collect();
    if found.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(found)
}

/// A TCP connection to the first address of a name that takes it.
async fn connect(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let attempt = |address| async move {
        let socket = TcpStream::connect(address).await;
        socket.map_err(|error| DialError::Connect { address, error })
    };
    let socket = race::first(resolve(host, port).await?, attempt).await?;
    // It only makes small packets leave at once.
    let _ = socket.set_nodelay(true);
    Ok(socket)
}

impl DialTls {
    /// Reads the files.
    ///
    /// # Errors
    /// If one cannot be used.
    pub fn check(&self) -> Result<(), crate::TlsConfigError> {
        self.config().map(|_| ())
    }
}

impl AsyncRead for Dialed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Plain(carrier) => Pin::new(carrier).poll_read(cx, buf),
            Inner::Web(web) => Pin::new(web).poll_read(cx, buf),
            Inner::Quic(quic) => Pin::new(&mut quic.stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Dialed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Inner::Plain(carrier) => Pin::new(carrier).poll_write(cx, buf),
            Inner::Web(web) => Pin::new(web).poll_write(cx, buf),
            Inner::Quic(quic) => Pin::new(&mut quic.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Plain(carrier) => Pin::new(carrier).poll_flush(cx),
            Inner::Web(web) => Pin::new(web).poll_flush(cx),
            Inner::Quic(quic) => Pin::new(&mut quic.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Plain(carrier) => Pin::new(carrier).poll_shutdown(cx),
            Inner::Web(web) => Pin::new(web).poll_shutdown(cx),
            Inner::Quic(quic) => Pin::new(&mut quic.stream).poll_shutdown(cx),
        }
    }
}
