use std::fmt;
use std::sync::Arc;

use crate::field::Field;
use crate::tally::Tally;
use crate::{drips, garbage, initials, knocks, messages, sessions, strangers, topics};

/// One way to be a nuisance.
#[derive(Clone, Copy)]
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    /// What it does, and how much of it.
    pub does: &'static str,
    run: fn(&Arc<Field>) -> Tally,
}

const fn attack(name: &'static str, does: &'static str, run: fn(&Arc<Field>) -> Tally) -> Attack {
    Attack { name, does, run }
}

impl Attack {
    /// All of them: those who are not in first.
    pub const ALL: &'static [Self] = &[
        attack(
            "connect-flood",
            "2,000 TCP connections/s to three ports, closed at once",
            knocks::flood,
        ),
        attack(
            "hoard",
            "1,500 silent connections/s to the TLS port, kept, up to 11,000",
            knocks::hoard,
        ),
        attack(
            "half-open",
            "500 ClientHellos/s, then silence, kept, up to 4,000",
            knocks::half_open,
        ),
        attack(
            "handshakes",
            "200 full TLS handshakes/s, closed without CONNECT",
            knocks::handshakes,
        ),
        attack(
            "slow-connect",
            "500 connections that send CONNECT a byte each 250 ms",
            drips::connect,
        ),
        attack(
            "slow-publish",
            "20 clients that send all but 2 KB of a PUBLISH of 1 MB, then a byte each 20 ms",
            drips::publish,
        ),
        attack(
            "initials",
            "3,000 QUIC Initials/s from 512 ports, each a new connection",
            initials::flood,
        ),
        attack(
            "garbage",
            "300 connections/s of random bytes to three ports, 1,000 datagrams/s to QUIC",
            garbage::garbage,
        ),
        attack(
            "lengths",
            "200 connections/s that announce lengths up to 2^62 and send little",
            garbage::lengths,
        ),
        attack(
            "passwords",
            "200 wrong passwords/s with other client ids and addresses each time",
            strangers::passwords,
        ),
        attack(
            "flapping",
            "one address connects and disconnects up to 50 times/s with changing client ids",
            strangers::flapping,
        ),
        attack(
            "takeover",
            "8 clients take over one client id from each other",
            strangers::takeover,
        ),
        attack("wills", "up to 30 clients/s leave a retained will and vanish", strangers::wills),
        attack(
            "malformed",
            "4 clients send what is no packet after CONNECT, and come again",
            garbage::malformed,
        ),
        attack(
            "subscribe-bomb",
            "4 clients subscribe to 2,000 wildcard filters each, then drop and take 100 at a time, 200 times/s",
            topics::bomb,
        ),
        attack(
            "deep-topics",
            "4 clients publish 500 times/s to topics of 128 to 32,768 levels",
            topics::deep,
        ),
        attack(
            "maze",
            "one client with 1,000 filters of 128 levels, half of them `+`, publishes to 200 new topics/s that all could match",
            topics::maze,
        ),
        attack(
            "aliases",
            "10 clients set 32 aliases to topics of 60 KB again and again, then one too many",
            topics::aliases,
        ),
        attack(
            "share-churn",
            "4 clients join and leave shared subscriptions 200 times/s each while one publishes to them",
            topics::churn,
        ),
        attack(
            "publish-flood",
            "2 clients publish 1 KiB at QoS 0, up to 40,000/s each, to two that read",
            messages::flood,
        ),
        attack(
            "retained-flood",
            "one client fills the retained messages, as fast as they are acknowledged",
            messages::retained,
        ),
        attack(
            "slow-reader",
            "two subscribers that never read, one publishes 1 KiB at QoS 0 and 1 to them",
            messages::slow_reader,
        ),
        attack(
            "unreleased",
            "10 clients send QoS 2 publishes that they never release, beyond their quota",
            sessions::unreleased,
        ),
        attack(
            "sessions",
            "up to 30 clients/s leave a session of an hour with 100 subscriptions",
            sessions::abandoned,
        ),
    ];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|attack| attack.name == name)
    }

    /// Attacks until the field's time is over, and some seconds longer at most.
    #[must_use]
    pub fn run(&self, field: &Arc<Field>) -> Tally {
        (self.run)(field)
    }
}

impl fmt::Debug for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attack").field("name", &self.name).finish_non_exhaustive()
    }
}
