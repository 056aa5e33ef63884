//! Connections that this side begins: TCP and TLS, as a client.

mod error;
mod tls;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use error::DialError;

use crate::settings::CertificateFiles;

/// How long one of several addresses of a name may take, before the next is tried.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(5);

/// Where to connect, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialSettings {
    /// A name, which is resolved for each connection, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// `None` for TCP in the clear.
    pub tls: Option<DialTls>,
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

/// A connection that was made.
#[derive(Debug)]
pub struct Dialed(Inner);

#[derive(Debug)]
enum Inner {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl DialSettings {
    /// Connects. How long that may take is the caller's to say.
    ///
    /// # Errors
    /// Where it failed, and what may help.
    pub async fn dial(&self) -> Result<Dialed, DialError> {
        let Some(tls) = &self.tls else { return Ok(Dialed(Inner::Tcp(self.connect().await?))) };
        let settings = tls.clone();
        let config = tokio::task::spawn_blocking(move || settings.config())
            .await
            .map_err(|_| DialError::Handshake("the settings could not be read".to_owned()))?
            .map_err(DialError::Settings)?;
        let name = tls.server_name.as_ref().unwrap_or(&self.host);
        let name = ServerName::try_from(name.clone())
            .map_err(|_| DialError::ServerName { name: name.clone() })?;
        let socket = self.connect().await?;
        let stream = TlsConnector::from(config).connect(name, socket).await;
        let stream = stream.map_err(|error| DialError::handshake(&error))?;
        Ok(Dialed(Inner::Tls(Box::new(stream))))
    }

    async fn connect(&self) -> Result<TcpStream, DialError> {
        let resolved = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let resolve = |error| DialError::Resolve { host: self.host.clone(), error };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut tried = None;
        for address in resolved.map_err(resolve)? {
            match tokio::time::timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => {
                    // It only makes small packets leave at once.
                    let _ = socket.set_nodelay(true);
                    return Ok(socket);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
            tried = Some(address);
        }
        match tried {
            Some(address) => Err(DialError::Connect { address, error: last }),
            None => Err(resolve(last)),
        }
    }
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
            Inner::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Inner::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
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
            Inner::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Inner::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Inner::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Inner::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
