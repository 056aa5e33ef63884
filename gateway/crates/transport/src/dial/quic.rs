//! QUIC (RFC 9000) as a client: one connection with an endpoint of its own, and its first stream.

mod path;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, TokioRuntime,
    TransportConfig, VarInt,
};
use tokio::task::JoinHandle;

use super::{DialError, race};
use crate::quic::QuicStream;
use path::Watch;

/// How often an idle connection shows routers on its way that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Silence after which it is given up, once something was sent: there is time for two other ports, and a server that has forgotten the
/// connection cannot say so.
const IDLE: Duration = Duration::from_secs(30);

/// Bytes that may be ahead in either direction. One connection carries the messages of a site over links that are slow; more would be
/// memory without use.
const WINDOW: u32 = 256 << 10;

/// The first stream of a connection, and what watches over that.
#[derive(Debug)]
pub(super) struct QuicDialed {
    pub(super) stream: QuicStream,
    watch: JoinHandle<()>,
}

impl Drop for QuicDialed {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Connects to the first address that answers.
pub(super) async fn dial(
    addresses: Vec<SocketAddr>,
    tls: Arc<rustls::ClientConfig>,
    name: &str,
) -> Result<QuicDialed, DialError> {
    let config = client_config(tls)?;
    let attempt = |address| handshake(address, config.clone(), name.to_owned());
    let (endpoint, connection) = race::first(addresses, attempt).await?;
    let address = connection.remote_address();
    let (send, receive) = connection.open_bi().await.map_err(|error| failed(address, &error))?;
    let watch = tokio::spawn(Watch::new(endpoint, connection.clone()).run());
    Ok(QuicDialed { stream: QuicStream::new(connection, send, receive, 0), watch })
}

async fn handshake(
    address: SocketAddr,
    config: ClientConfig,
    name: String,
) -> Result<(Endpoint, Connection), DialError> {
    let connect = |error| DialError::Connect { address, error };
    let socket = bind(address).map_err(connect)?;
    let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime));
    let endpoint = endpoint.map_err(connect)?;
    let connecting = endpoint
        .connect_with(config, address, &name)
        .map_err(|error| DialError::Quic { address, why: error.to_string() })?;
    // Nothing is sent before the handshake is complete (no 0-RTT): whoever records a CONNECT could send it again.
    let connection = connecting.await.map_err(|error| failed(address, &error))?;
    Ok((endpoint, connection))
}

fn failed(address: SocketAddr, error: &ConnectionError) -> DialError {
    DialError::Quic { address, why: error.to_string() }
}

/// A socket from which the address can be reached, whichever of this machine's addresses the way there begins at.
fn bind(towards: SocketAddr) -> std::io::Result<UdpSocket> {
    match towards {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }
}

fn client_config(tls: Arc<rustls::ClientConfig>) -> Result<ClientConfig, DialError> {
    let crypto =
        QuicClientConfig::try_from(tls).map_err(|error| DialError::Handshake(error.to_string()))?;
    let mut transport = TransportConfig::default();
    transport
        // The server opens none.
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok())
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(WINDOW.into())
        .datagram_receive_buffer_size(None);
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Ok(config)
}
