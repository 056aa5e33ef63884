use std::sync::Arc;

use mqtt::{PacketId, QoS};

use super::Class;
use crate::Message;

/// What a session is owed behind its row in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// The first number that may be there; every delivery in memory comes before it.
    pub first: u64,
    /// Deliveries.
    pub count: usize,
    /// Bytes of their messages.
    pub weight: usize,
    /// Deliveries that came of shared subscriptions.
    pub shared: usize,
}

/// What a delivery counts for where it is not in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes of its message; 0 of one that the client has.
    pub weight: usize,
    /// Whether it came of a shared subscription.
    pub shared: bool,
    /// What it is counted by.
    pub class: Option<Class>,
}

/// A delivery that comes back from behind the row.
#[derive(Debug)]
pub struct Returning<T> {
    /// Its place in the session's sequence.
    pub sequence: u64,
    /// The message; `None` if the client has it and only PUBREL is owed.
    pub message: Option<Arc<Message>>,
    /// 1 or 2.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// What it counted for there.
    pub load: Load,
    /// The owner's note.
    pub tag: T,
}

/// One delivery of one message to one session.
#[derive(Debug)]
pub struct Delivery<T> {
    /// Its place in the session's sequence.
    pub sequence: u64,
    /// The message; `None` once it need not be sent again, or when the session
    /// ends with the connection and so never resends.
    pub message: Option<Arc<Message>>,
    /// 1 or 2.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// What it is counted by.
    pub class: Option<Class>,
    /// The owner's note.
    pub tag: T,
    pub(super) progress: Progress,
    /// Sent at least once, on this or an earlier connection: DUP is due (MQTT-3.3.1-1).
    pub(super) sent: bool,
    /// Stands before the cursor and is to be sent on this connection all the same, later.
    pub(super) passed: bool,
    /// If so, it was sent on this connection before, and counts as being in flight.
    pub(super) again: bool,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// PUBLISH is owed, or PUBACK or PUBREC awaited.
    Published,
    /// PUBREC was received, PUBREL is owed, or PUBCOMP awaited.
    Released,
    /// Confirmed; waits for older ones so that the row stays contiguous.
    Done,
}

/// What to put on the wire next.
#[derive(Debug)]
pub enum Transmission<'a, T> {
    /// A PUBLISH with this identifier.
    Publish {
        /// The packet identifier.
        packet_id: PacketId,
        /// The DUP flag.
        dup: bool,
        /// What to send.
        delivery: &'a mut Delivery<T>,
    },
    /// A PUBREL with this identifier.
    Release {
        /// The packet identifier.
        packet_id: PacketId,
    },
}

/// A delivery that has just been settled.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled<T> {
    /// Its place in the session's sequence.
    pub sequence: u64,
    /// The owner's note.
    pub tag: T,
    /// Whether it was sent on this connection.
    pub in_flight: bool,
    /// Bytes of the message, if it was still kept.
    pub weight: usize,
}

impl Rest {
    pub(super) fn add(&mut self, load: Load) {
        self.count += 1;
        self.weight += load.weight;
        self.shared += usize::from(load.shared);
    }

    pub(super) fn subtract(&mut self, load: Load) {
        self.count = self.count.saturating_sub(1);
        self.weight = self.weight.saturating_sub(load.weight);
        self.shared = self.shared.saturating_sub(usize::from(load.shared));
    }
}

impl<T> Delivery<T> {
    /// Bytes of the message that it keeps alive.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.weight())
    }

    /// Whether it was sent on this connection; only meant of what stands before the cursor.
    pub(super) fn is_in_flight(&self) -> bool {
        !self.passed || self.again
    }

    /// Whether the client may have got it: it was sent at least once, or may have been before a
    /// restart.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.sent
    }
}
