use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// How long an attacker waits until a connection is accepted.
const DIAL: Duration = Duration::from_secs(3);

/// Addresses that attackers come from: 16 networks of 254.
const NETWORKS: u32 = 16;
const HOSTS: u32 = 254;

/// The ports of a gateway on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doors {
    /// TCP in the clear.
    pub plain: u16,
    /// TLS.
    pub tls: u16,
    /// WebSocket in the clear, at the usual path.
    pub web: u16,
    /// QUIC.
    pub quic: u16,
}

impl Doors {
    /// For the command line of another process.
    #[must_use]
    pub fn words(self) -> [String; 4] {
        [self.plain, self.tls, self.web, self.quic].map(|port| port.to_string())
    }

    /// Of the words that [`Doors::words`] gives.
    #[must_use]
    pub fn read(words: &[&str]) -> Option<Self> {
        let ports: Option<Vec<u16>> = words.iter().map(|word| word.parse().ok()).collect();
        let [plain, tls, web, quic] = ports?.try_into().ok()?;
        Some(Self { plain, tls, web, quic })
    }
}

/// Where an attack happens, and until when.
#[derive(Debug)]
pub struct Field {
    /// The gateway.
    pub doors: Doors,
    /// The certificate that its clients trust, in PEM.
    pub ca: PathBuf,
    /// A client that is let in and means harm.
    pub user: String,
    /// Its password.
    pub password: String,
    until: Instant,
    dialled: AtomicU32,
    runtime: Runtime,
}

impl Field {
    /// A field for an attack that begins now.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn new(
        doors: Doors,
        ca: PathBuf,
        (user, password): (&str, &str),
        length: Duration,
    ) -> io::Result<Self> {
        // One thread: it is to compete with the gateway as little as can be.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self {
            doors,
            ca,
            user: user.to_owned(),
            password: password.to_owned(),
            until: Instant::now() + length,
            dialled: AtomicU32::new(0),
            runtime,
        })
    }

    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// An address to come from, each time another one.
    pub(crate) fn source(&self) -> Ipv4Addr {
        source(self.dialled.fetch_add(1, Ordering::Relaxed))
    }

    /// A TCP connection from another address than the one before.
    pub(crate) async fn dial(&self, port: u16) -> io::Result<TcpStream> {
        self.dial_from(self.source(), port).await
    }

    /// A TCP connection from this address.
    pub(crate) async fn dial_from(&self, from: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let connecting = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let stream = tokio::time::timeout(DIAL, connecting).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn source(number: u32) -> Ipv4Addr {
    let (network, host) = (number / HOSTS % NETWORKS, number % HOSTS + 1);
    let octet = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 9, octet(network), octet(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attackers_come_from_many_addresses_of_their_own() {
        assert_eq!(source(0), Ipv4Addr::new(127, 9, 0, 1));
        assert_eq!(source(253), Ipv4Addr::new(127, 9, 0, 254));
        assert_eq!(source(254), Ipv4Addr::new(127, 9, 1, 1));
        assert_eq!(source(NETWORKS * HOSTS), source(0));
    }
}
