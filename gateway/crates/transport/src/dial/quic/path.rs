//! The way from this machine to the server of a QUIC connection, and what to do when it changes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use quinn::{Connection, Endpoint};

/// How often the way is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Looks without an answer to anything that was sent, after which another port is tried: a router or firewall may hold on to a way
/// that leads nowhere.
const UNANSWERED_MAX: u32 = 5;

/// Moves a connection to another socket when the address that its way begins at has changed, when there is a way again, or when nothing comes
/// back. The server sees it come from there and goes on (RFC 9000, section 9): it hears so at once instead of with the next message.
pub(super) struct Watch {
    endpoint: Endpoint,
    connection: Connection,
    remote: SocketAddr,
    judge: Judge,
}

impl Watch {
    pub(super) fn new(endpoint: Endpoint, connection: Connection) -> Self {
        let remote = connection.remote_address();
        let judge = Judge { source: source_towards(remote), ..Judge::default() };
        Self { endpoint, connection, remote, judge }
    }

    /// Runs as long as the connection.
    pub(super) async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                _ = self.connection.closed() => return,
                _ = looks.tick() => self.look(),
            }
        }
    }

    fn look(&mut self) {
        let stats = self.connection.stats();
        let seen = Seen {
            source: source_towards(self.remote),
            sent: stats.udp_tx.datagrams,
            received: stats.udp_rx.datagrams,
        };
        if self.judge.moves(seen)
            && let Ok(socket) = super::bind(self.remote)
        {
            // Where it fails, the socket before stays in use, and there is another look.
            let _ = self.endpoint.rebind(socket);
        }
    }
}

/// The address of this machine at which the way to another begins; `None` where there is no way. Nothing is sent.
fn source_towards(remote: SocketAddr) -> Option<IpAddr> {
    let probe = super::bind(remote).ok()?;
    probe.connect(remote).ok()?;
    probe.local_addr().ok().map(|address| address.ip())
}

/// What a look has shown: datagrams are counted from the beginning.
#[derive(Clone, Copy, Debug)]
struct Seen {
    source: Option<IpAddr>,
    sent: u64,
    received: u64,
}

#[derive(Debug, Default)]
struct Judge {
    /// Where the way began when there was one.
    source: Option<IpAddr>,
    /// There was no way at the last look.
    cut: bool,
    sent: u64,
    received: u64,
    /// Looks since something was sent to which nothing has come.
    unanswered: u32,
}

impl Judge {
    fn moves(&mut self, seen: Seen) -> bool {
        let heard = seen.received > self.received;
        let asked = seen.sent > self.sent;
        (self.sent, self.received) = (seen.sent, seen.received);
        self.unanswered = match self.unanswered {
            _ if heard => 0,
            0 if !asked => 0,
            looks => looks + 1,
        };
        let Some(source) = seen.source else {
            self.cut = true;
            return false;
        };
        let elsewhere = self.cut || self.source != Some(source);
        (self.source, self.cut) = (Some(source), false);
        let moves = elsewhere || self.unanswered > UNANSWERED_MAX;
        if moves {
            self.unanswered = 0;
        }
        moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 1, 1));

    fn judge() -> Judge {
        Judge { source: Some(A), ..Judge::default() }
    }

    fn seen(source: Option<IpAddr>, sent: u64, received: u64) -> Seen {
        Seen { source, sent, received }
    }

    #[test]
    fn another_source_or_a_way_that_is_back_moves_it_once() {
        let mut judge = judge();
        assert!(!judge.moves(seen(Some(A), 1, 1)));
        assert!(judge.moves(seen(Some(B), 2, 2)));
        assert!(!judge.moves(seen(Some(B), 3, 3)));
        assert!(!judge.moves(seen(None, 4, 3)));
        assert!(!judge.moves(seen(None, 5, 3)));
        assert!(judge.moves(seen(Some(B), 6, 3)));
        assert!(!judge.moves(seen(Some(B), 7, 4)));
    }

    #[test]
    fn silence_that_nobody_asked_for_moves_nothing() {
        let mut judge = judge();
        assert!((0..100).all(|_| !judge.moves(seen(Some(A), 1, 1))));
        // An answer within the limit is early enough, however often.
        for round in 2..10 {
            assert!((0..UNANSWERED_MAX).all(|_| !judge.moves(seen(Some(A), round, round - 1))));
            assert!(!judge.moves(seen(Some(A), round, round)));
        }
    }

    #[test]
    fn what_is_not_answered_moves_it_again_and_again() {
        let mut judge = judge();
        let moves = (1..=100).filter(|sent| judge.moves(seen(Some(A), 1 + *sent, 0))).count();
        assert_eq!(moves, 16);
    }

    #[test]
    fn the_way_to_this_machine_begins_at_it() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(source_towards(loopback), Some(loopback.ip()));
    }
}
