use std::thread;
use std::time::Duration;

use mqtt::{QoS, Version};

use crate::cast::Cast;
use crate::clock::Tick;
use crate::fault::{Faults, Kind};
use crate::key::Key;
use crate::random::Random;
use crate::session::{Gone, Session, Surroundings, Testament, leave};

/// A client that leaves wills: it vanishes, leaves in order, or is there when the gateway is killed.
#[derive(Debug)]
pub(crate) struct Wills {
    /// Its place among the publishers, behind all others.
    pub(crate) index: u16,
    sessions: [Session; 2],
    /// Every will ever left, by number.
    pub(crate) left: Vec<Will>,
}

/// One will.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Will {
    /// Before CONNECT.
    pub(crate) first: Tick,
    /// What became of the connection.
    pub(crate) end: End,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With the gateway, as far as the client knows.
    Unknown,
    /// The client closed it without a word.
    Vanished,
    /// DISCONNECT, which the gateway answered by closing; and when that was.
    InOrder(Tick),
}

/// Where wills are published.
const TOPIC: &str = "w/1";

impl Wills {
    pub(crate) fn new(index: u16) -> Self {
        let session = |name: &str, version| Session::new(name.to_owned(), version, None);
        let sessions = [session("will-1", Version::V5), session("will-2", Version::V3_1_1)];
        Self { index, sessions, left: Vec::new() }
    }

    /// What subscribes to them.
    pub(crate) fn subscribed(&self) -> (u16, String) {
        (self.index, "w/#".to_owned())
    }

    /// Nobody gets the will of a client that left in order, once the disk knows. No acknowledgement says
    /// that it does; but what is promised for the first time later is on disk later.
    pub(crate) fn judge(&self, cast: &Cast, kills: &[Tick], faults: &mut Faults) {
        for got in cast.subscribers.iter().flat_map(|it| &it.got) {
            if got.key.publisher != self.index {
                continue;
            }
            let Some(Will { end: End::InOrder(left), .. }) =
                self.left.get(got.key.number as usize).copied()
            else {
                continue;
            };
            let killed = kills.iter().find(|at| **at > left).copied().unwrap_or(Tick::MAX);
            let mut sent = cast.publishers.iter().flat_map(|it| &it.sent);
            let known = sent.any(|sent| {
                sent.qos == QoS::ExactlyOnce
                    && sent.first > left
                    && sent.promised.is_some_and(|promised| promised < killed)
            });
            if known {
                let evidence = format!("will {} of a client that left at {left}: {got:?}", got.key);
                faults.add(Kind::Resurrected, evidence);
            }
        }
    }

    pub(crate) fn run(
        &mut self,
        place: &Surroundings<'_>,
        random: &mut Random,
    ) -> Result<(), Gone> {
        while !place.is_over() {
            let session = usize::from(random.chance(500));
            let number = u32::try_from(self.left.len()).expect("a run is short enough");
            let payload = Key { publisher: self.index, number }.payload();
            let testament = Testament { topic: TOPIC.to_owned(), payload };
            self.left.push(Will { first: place.tick(), end: End::Unknown });
            let clean = random.chance(500);
            let (client, _) = self.sessions[session].open(place, clean, Some(&testament))?;
            thread::sleep(Duration::from_millis(random.between(1, 80)));
            let end = match random.below(3) {
                0 => {
                    leave(client)?;
                    End::InOrder(place.tick())
                }
                _ => End::Vanished,
            };
            if let Some(will) = self.left.last_mut() {
                will.end = end;
            }
        }
        Ok(())
    }
}
