use std::collections::{BTreeSet, VecDeque};

use mqtt::{PacketId, ReasonCode};

use crate::Lane;

/// The receiving side of a conversation: which QoS 2 identifiers are taken, and which
/// acknowledgements are owed but wait for a promise to become true.
///
/// Acknowledgements leave in the order in which they were begun (MQTT-4.6.0-2, -3),
/// so one that waits holds back those behind it.
#[derive(Debug, Default)]
pub struct Inbound {
    received: BTreeSet<PacketId>,
    owed: VecDeque<Owed>,
    /// How many of `owed` are PUBACKs.
    pubacks: usize,
    /// Number of the acknowledgement at the front of `owed`.
    first: u64,
    /// What the acknowledgement that begins next waits for and has come true already.
    early: u32,
}

/// Which packet acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckKind {
    /// Answers a QoS 1 PUBLISH.
    PubAck,
    /// Answers a QoS 2 PUBLISH.
    PubRec,
    /// Answers a PUBREL.
    PubComp,
}

/// An acknowledgement to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Which packet.
    pub kind: AckKind,
    /// What it acknowledges.
    pub packet_id: PacketId,
    /// Its reason code; 3.1.1 has none.
    pub code: ReasonCode,
    /// Where what it answers came, and so where it goes.
    pub lane: Lane,
}

/// Names an acknowledgement that waits; never reused within a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Owed {
    acknowledgement: Acknowledgement,
    waits: u32,
}

impl Inbound {
    /// Whether a QoS 2 PUBLISH with this identifier was received and not yet released:
    /// the message must not be passed on again (MQTT-4.3.3-10).
    #[must_use]
    pub fn is_received(&self, packet_id: PacketId) -> bool {
        self.received.contains(&packet_id)
    }

    /// Remembers a QoS 2 identifier.
    pub fn receive(&mut self, packet_id: PacketId) {
        self.received.insert(packet_id);
    }

    /// Forgets a QoS 2 identifier on PUBREL; false if it was not known.
    pub fn release(&mut self, packet_id: PacketId) -> bool {
        self.received.remove(&packet_id)
    }

    /// The unreleased QoS 2 identifiers, ascending.
    pub fn received(&self) -> impl Iterator<Item = PacketId> + '_ {
        self.received.iter().copied()
    }

    /// QoS 1 and 2 publishes that count against the Receive Maximum (MQTT 5, 4.9).
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.received.len() + self.pubacks
    }

    /// Whether an acknowledgement begun now could leave at once.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.owed.is_empty()
    }

    /// Number of acknowledgements that wait.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Begins an acknowledgement that may leave after `waits` calls of [`settle`](Self::settle).
    pub fn begin(&mut self, acknowledgement: Acknowledgement, waits: u32) -> Ticket {
        self.pubacks += usize::from(acknowledgement.kind == AckKind::PubAck);
        let waits = waits.saturating_sub(std::mem::take(&mut self.early));
        self.owed.push_back(Owed { acknowledgement, waits });
        Ticket(self.first + self.owed.len() as u64 - 1)
    }

    /// The ticket that the next [`begin`](Self::begin) will give.
    #[must_use]
    pub fn next_ticket(&self) -> Ticket {
        Ticket(self.first + self.owed.len() as u64)
    }

    /// One thing that the acknowledgement waited for has come true, perhaps before that began. A
    /// ticket of an earlier connection is ignored.
    pub fn settle(&mut self, ticket: Ticket) {
        self.early += u32::from(ticket == self.next_ticket());
        let index = ticket.0.checked_sub(self.first).and_then(|i| usize::try_from(i).ok());
        if let Some(owed) = index.and_then(|i| self.owed.get_mut(i)) {
            owed.waits = owed.waits.saturating_sub(1);
        }
    }

    /// The next acknowledgement that may leave.
    pub fn next_ready(&mut self) -> Option<Acknowledgement> {
        if self.owed.front()?.waits > 0 {
            return None;
        }
        self.first += 1;
        let acknowledgement = self.owed.pop_front()?.acknowledgement;
        self.pubacks -= usize::from(acknowledgement.kind == AckKind::PubAck);
        Some(acknowledgement)
    }

    /// Whether an acknowledgement waits that is to go on `lane`.
    #[must_use]
    pub fn owes(&self, lane: Lane) -> bool {
        self.owed.iter().any(|owed| owed.acknowledgement.lane == lane)
    }

    /// The lane is gone: what was to go on it goes with the connection itself.
    pub fn leave(&mut self, lane: Lane) {
        for owed in self.owed.iter_mut().filter(|owed| owed.acknowledgement.lane == lane) {
            owed.acknowledgement.lane = Lane::CONTROL;
        }
    }

    /// The connection ended: nothing is owed any more, the client will ask again.
    pub fn disconnect(&mut self) {
        self.first += self.owed.len() as u64;
        self.owed.clear();
        self.early = 0;
        self.pubacks = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(n: u16) -> Acknowledgement {
        let packet_id = PacketId::new(n).expect("non-zero");
        let (kind, code, lane) = (AckKind::PubAck, ReasonCode::Success, Lane::CONTROL);
        Acknowledgement { kind, packet_id, code, lane }
    }

    #[test]
    fn acknowledgements_leave_in_the_order_of_their_publishes() {
        let mut inbound = Inbound::default();
        let first = inbound.begin(ack(1), 1);
        let second = inbound.begin(ack(2), 2);
        inbound.begin(ack(3), 0);
        inbound.settle(second);
        inbound.settle(second);
        assert_eq!(inbound.next_ready(), None, "1 still waits");
        inbound.settle(first);
        let left: Vec<_> = std::iter::from_fn(|| inbound.next_ready()).collect();
        assert_eq!(left, [ack(1), ack(2), ack(3)]);
    }

    #[test]
    fn what_has_come_true_before_an_acknowledgement_begins_counts() {
        let mut inbound = Inbound::default();
        let ticket = inbound.next_ticket();
        inbound.settle(ticket);
        inbound.begin(ack(1), 2);
        assert_eq!(inbound.next_ready(), None, "one more is awaited");
        inbound.settle(ticket);
        assert_eq!(inbound.next_ready(), Some(ack(1)));
        inbound.begin(ack(2), 1);
        assert_eq!(inbound.next_ready(), None, "what came early was not for this one");
    }

    #[test]
    fn a_ticket_of_an_earlier_connection_settles_nothing() {
        let mut inbound = Inbound::default();
        let old = inbound.begin(ack(1), 1);
        inbound.disconnect();
        inbound.begin(ack(1), 1);
        inbound.settle(old);
        assert_eq!(inbound.next_ready(), None);
    }

    #[test]
    fn what_a_lane_is_owed_goes_with_the_connection_when_the_lane_is_gone() {
        let mut inbound = Inbound::default();
        let (one, other) = (Lane(1), Lane(2));
        let ticket = inbound.begin(Acknowledgement { lane: one, ..ack(1) }, 1);
        inbound.begin(Acknowledgement { lane: other, ..ack(1) }, 0);
        assert!(inbound.owes(one) && inbound.owes(other) && !inbound.owes(Lane::CONTROL));
        inbound.leave(one);
        assert!(!inbound.owes(one));
        inbound.settle(ticket);
        let left: Vec<_> = std::iter::from_fn(|| inbound.next_ready()).map(|a| a.lane).collect();
        assert_eq!(left, [Lane::CONTROL, other]);
    }

    #[test]
    fn unreleased_qos_2_publishes_count_against_the_receive_maximum() {
        let mut inbound = Inbound::default();
        let id = PacketId::new(9).expect("non-zero");
        inbound.receive(id);
        inbound.begin(ack(1), 1);
        assert_eq!(inbound.outstanding(), 2);
        assert!(inbound.release(id));
        assert!(!inbound.release(id), "a second PUBREL finds nothing");
        assert_eq!(inbound.outstanding(), 1);
    }
}
