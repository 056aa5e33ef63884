//! Reads a header from a connection that has said nothing yet.

use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::network::Network;
use crate::proxy::error::ProxyError;
use crate::proxy::header::{FIXED, ProxyHeader, ProxyRest, SIGNATURE};

/// Reads the header that a proxy sends, and nothing behind it. A peer that is none of `proxies` is as it is,
/// and must not send one.
///
/// It waits for the peer as long as the peer likes.
///
/// # Errors
/// If there is no header from a proxy, one from somebody else, or one that cannot be used.
pub(crate) async fn announced(
    socket: &mut TcpStream,
    proxies: &[Network],
) -> Result<ProxyHeader, ProxyError> {
    let peer = socket.peer_addr().map_err(ProxyError::Io)?.ip();
    if !proxies.iter().any(|network| network.contains(peer)) {
        // No other protocol that is spoken here begins so.
        let mut first = [0];
        let seen = socket.peek(&mut first).await.map_err(lost)?;
        let is_header = seen == 1 && SIGNATURE.first() == first.first();
        return if is_header { Err(ProxyError::Untrusted) } else { Ok(ProxyHeader::Own) };
    }
    let mut fixed = [0; FIXED];
    let mut have = 0;
    while have < FIXED {
        let room = fixed.get_mut(have..).unwrap_or_default();
        match socket.read(room).await.map_err(lost)? {
            0 => return Err(ProxyError::Closed),
            count => have += count,
        }
        // Whoever sends something else hears so at once: it may be too short to be a header ever.
        let read = fixed.get(..have.min(SIGNATURE.len())).unwrap_or_default();
        if !SIGNATURE.starts_with(read) {
            return Err(ProxyError::Missing);
        }
    }
    let announced = ProxyRest::read(&fixed)?;
    let mut rest = vec![0; announced.length];
    socket.read_exact(&mut rest).await.map_err(lost)?;
    ProxyHeader::read(&fixed, &rest)
}

fn lost(error: io::Error) -> ProxyError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => ProxyError::Closed,
        _ => ProxyError::Io(error),
    }
}
