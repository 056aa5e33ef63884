//! From an accepted socket to a TLS stream.

use std::io;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::connection::READ_MAX;
use crate::identity::{Certificate, PeerIdentity, TransportKind};
use crate::tls::acceptor::Acceptor;
use crate::tls::clients::Clients;
use crate::tls::engine::{self, Output};
use crate::tls::error::{HANDSHAKE_MAX, HandshakeError};
use crate::tls::presented::take_asked_for;
use crate::tls::stream::TlsStream;

impl Acceptor {
    /// Makes the handshake and completes `peer`, which holds the addresses so far.
    pub(crate) async fn accept(
        &self,
        mut socket: TcpStream,
        mut peer: PeerIdentity,
    ) -> Result<(TlsStream, PeerIdentity), HandshakeError> {
        let ready = self.ready();
        let session = UnbufferedServerConnection::new(Arc::clone(&ready.config))
            .map_err(|cause| HandshakeError::of(&cause))?;
        let mut state = Handshake::of(session);
        while state.session.is_handshaking() {
            state.read(&mut socket).await?;
            let outcome = state.advance();
            if outcome.is_err() {
                tell_and_close(&mut socket, state.out.filled()).await;
            }
            outcome?;
            // In TLS 1.3 what is left at the end is only a session ticket: it goes with the first
            // answer, one packet and one system call fewer.
            let last = !state.session.is_handshaking();
            if !last || state.session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
                socket.write_all(state.out.filled()).await.map_err(HandshakeError::Io)?;
                state.out.clear();
            }
        }
        state.describe(&mut peer, &ready.clients)?;
        let out = state.out.filled().to_vec();
        let stream = TlsStream::new(socket, state.session, state.incoming, state.plain, out);
        Ok((stream, peer))
    }
}

/// A handshake under way.
struct Handshake {
    session: UnbufferedServerConnection,
    incoming: Vec<u8>,
    /// What a client has sent together with the end of its handshake.
    plain: Vec<u8>,
    out: Output,
    server_name: Option<String>,
}

impl Handshake {
    fn of(session: UnbufferedServerConnection) -> Self {
        Self {
            session,
            incoming: Vec::new(),
            plain: Vec::new(),
            out: Output::default(),
            server_name: None,
        }
    }

    async fn read(&mut self, socket: &mut TcpStream) -> Result<(), HandshakeError> {
        let room = HANDSHAKE_MAX.saturating_sub(self.incoming.len());
        if room == 0 {
            return Err(HandshakeError::TooLarge);
        }
        // Waiting before any memory is taken: a peer that connects and says nothing holds none.
        socket.readable().await.map_err(HandshakeError::Io)?;
        self.incoming.reserve(room.min(FLIGHT));
        let mut limited = socket.take(room as u64);
        match limited.read_buf(&mut self.incoming).await {
            Ok(0) => Err(HandshakeError::Closed),
            Ok(_) => Ok(()),
            Err(cause) => Err(match cause.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    HandshakeError::Closed
                }
                _ => HandshakeError::Io(cause),
            }),
        }
    }

    fn advance(&mut self) -> Result<(), HandshakeError> {
        let plain = &mut self.plain;
        let mut sink = |bytes: &[u8]| plain.extend_from_slice(bytes);
        let step = engine::advance(&mut self.session, &mut self.incoming, &mut sink, &mut self.out);
        if let Some(name) = take_asked_for() {
            self.server_name = Some(name);
        }
        match step {
            Ok(step) => {
                self.incoming.drain(..step.used.min(self.incoming.len()));
                if step.closed { Err(HandshakeError::Closed) } else { Ok(()) }
            }
            Err(cause) => Err(HandshakeError::of(&cause)),
        }
    }

    /// Writes down who the peer is.
    fn describe(
        &mut self,
        peer: &mut PeerIdentity,
        clients: &Clients,
    ) -> Result<(), HandshakeError> {
        peer.transport = TransportKind::Tls;
        peer.server_name = self.server_name.take();
        peer.alpn =
            self.session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        peer.tls_version = match self.session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Some("1.3"),
            Some(ProtocolVersion::TLSv1_2) => Some("1.2"),
            _ => None,
        };
        let chain = self.session.peer_certificates().unwrap_or_default();
        if chain.len() > CHAIN_MAX {
            let why =
                format!("it comes with {} certificates, the most is {CHAIN_MAX}", chain.len());
            return Err(HandshakeError::ClientCertificate(why));
        }
        // A resumed session brings its chain along without verifying it again; meanwhile it may have
        // expired, or the list that tells about it may be out of date.
        if !chain.is_empty() && self.session.handshake_kind() == Some(HandshakeKind::Resumed) {
            clients.verify(chain).map_err(|cause| HandshakeError::of(&cause))?;
        }
        peer.certificates = chain.iter().map(|certificate| certificate.to_vec()).collect();
        let Some(leaf) = peer.certificates.first() else { return Ok(()) };
        let leaf = Certificate::from_der(leaf).map_err(HandshakeError::UnreadableCertificate)?;
        peer.leaf = Some(leaf);
        Ok(())
    }
}

/// Certificates of a client at most, its own included. A path has no more than eight; what goes beyond
/// it is kept for as long as the connection lasts, and looked up when it is revoked.
const CHAIN_MAX: usize = 10;

/// What one read of a handshake asks for, in bytes: more than a ClientHello or a client's flight
/// with a short chain takes.
const FLIGHT: usize = 4 * 1024;

/// Sends the alert. What the peer has sent meanwhile is read first, since closing a socket with
/// unread bytes resets the connection, and a reset overtakes the alert.
async fn tell_and_close(socket: &mut TcpStream, alert: &[u8]) {
    // A peer that cannot be told is told nothing: the failure that it caused is what counts.
    let _ = socket.write_all(alert).await;
    let _ = socket.shutdown().await;
    let mut unread = [0; 512];
    for _ in 0..READ_MAX / unread.len() {
        if !matches!(socket.try_read(&mut unread), Ok(1..)) {
            return;
        }
    }
}
