use std::cell::Cell;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig, VarInt};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

use crate::PATIENCE;
use crate::wire::client_config;

/// Where the connections of all tests live.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("threads can be started")
});

/// One stream of a QUIC connection, to be used as a socket is.
#[derive(Debug)]
pub struct QuicWire {
    endpoint: Endpoint,
    connection: Connection,
    send: SendStream,
    /// `None` on a stream in one direction.
    receive: Option<RecvStream>,
    patience: Cell<Duration>,
}

impl QuicWire {
    pub(crate) fn connect(
        source: Ipv4Addr,
        port: u16,
        ca: &Path,
        identity: Option<(&Path, &Path)>,
        window: Option<u32>,
    ) -> io::Result<Self> {
        let tls =
            QuicClientConfig::try_from(client_config(b"mqtt", ca, identity)).expect("TLS 1.3");
        let mut config = ClientConfig::new(Arc::new(tls));
        if let Some(window) = window {
            let mut transport = TransportConfig::default();
            transport.stream_receive_window(VarInt::from_u32(window));
            config.transport_config(Arc::new(transport));
        }
        RUNTIME.block_on(async {
            let endpoint = Endpoint::client(SocketAddr::from((source, 0)))?;
            let gateway = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let connecting = endpoint.connect_with(config, gateway, "localhost");
            let connecting = connecting.map_err(io::Error::other)?;
            let connection = within(PATIENCE, connecting).await?.map_err(io::Error::other)?;
            let (send, receive) = connection.open_bi().await.map_err(io::Error::other)?;
            Ok(Self::on(endpoint, connection, send, Some(receive)))
        })
    }

    fn on(
        endpoint: Endpoint,
        connection: Connection,
        send: SendStream,
        receive: Option<RecvStream>,
    ) -> Self {
        Self { endpoint, connection, send, receive, patience: Cell::new(PATIENCE) }
    }

    /// Another stream of the same connection. The gateway hears of it with the first bytes that are written.
    ///
    /// # Errors
    /// If the gateway allows no more.
    pub fn beside(&self) -> io::Result<Self> {
        RUNTIME.block_on(async {
            let opened = within(self.patience.get(), self.connection.open_bi()).await?;
            let (send, receive) = opened.map_err(io::Error::other)?;
            Ok(Self::on(self.endpoint.clone(), self.connection.clone(), send, Some(receive)))
        })
    }

    /// As [`QuicWire::beside`], in the direction of the gateway only.
    ///
    /// # Errors
    /// If the gateway allows no more.
    pub fn one_way(&self) -> io::Result<Self> {
        RUNTIME.block_on(async {
            let opened = within(self.patience.get(), self.connection.open_uni()).await?;
            let send = opened.map_err(io::Error::other)?;
            Ok(Self::on(self.endpoint.clone(), self.connection.clone(), send, None))
        })
    }

    /// Gives this stream up in both directions.
    pub fn reset(&mut self) {
        // It fails if that has happened.
        let _ = self.send.reset(VarInt::from_u32(1));
        if let Some(receive) = &mut self.receive {
            let _ = receive.stop(VarInt::from_u32(1));
        }
    }

    /// Goes on at another port, as a client behind a router does that has forgotten it.
    pub fn move_away(&self) {
        let _inside = RUNTIME.enter();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
        self.endpoint.rebind(socket).expect("the endpoint takes another socket");
    }

    /// Ends its own direction of the stream.
    pub fn finish(&mut self) {
        // It fails if that has happened.
        let _ = self.send.finish();
    }

    /// Gives the connection up with an error code, without a word in the stream.
    pub fn abandon(&self, code: u32) {
        self.connection.close(VarInt::from_u32(code), b"");
    }

    /// How long a read waits, and the opening of another stream.
    pub fn set_patience(&self, patience: Duration) {
        self.patience.set(patience);
    }
}

impl Read for QuicWire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let patience = self.patience.get();
        let Some(receive) = &mut self.receive else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        RUNTIME.block_on(async {
            match within(patience, receive.read(into)).await? {
                Ok(read) => Ok(read.unwrap_or(0)),
                Err(error) => Err(io::Error::new(io::ErrorKind::ConnectionReset, error)),
            }
        })
    }
}

impl Write for QuicWire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let send = &mut self.send;
        RUNTIME.block_on(async {
            within(PATIENCE, send.write(bytes)).await?.map_err(io::Error::other)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a TCP connection from an address of this machine: the standard library cannot choose one.
pub(crate) fn connect_from(source: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        socket.connect(to).await?.into_std()
    };
    let stream = RUNTIME.block_on(connect)?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

async fn within<T>(time: Duration, job: impl Future<Output = T>) -> io::Result<T> {
    let done = tokio::time::timeout(time, job).await;
    done.map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))
}
