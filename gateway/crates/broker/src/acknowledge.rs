use mqtt::{Ack, PacketId, ReasonCode};
use session::{AckKind, Acknowledgement, Settled, Timestamp};

use crate::Broker;
use crate::broker::Waiter;
use crate::client::{Promise, Tag};
use crate::durable::Op;
use crate::journal::OP_WEIGHT;

/// Acknowledgements of a client (MQTT 5, 4.3). One that names nothing known is the echo of
/// an exchange that is over, and is answered where the protocol has an answer.
impl Broker {
    pub(crate) fn puback(&mut self, now: Timestamp, session: u32, ack: &Ack<'_>) {
        self.confirm(now, session, |outbound| outbound.puback(ack.packet_id));
    }

    pub(crate) fn pubrec(&mut self, now: Timestamp, session: u32, ack: &Ack<'_>) {
        if ack.code.is_error() {
            self.confirm(now, session, |outbound| outbound.pubrec_refused(ack.packet_id));
            return;
        }
        if self.release(session, ack.packet_id) {
            return;
        }
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(online) = client.online.as_mut() else { return };
        let outbox = online.outbox_of(online.answers());
        crate::frames::release_unknown(ack.packet_id, client.version, outbox);
        self.wake(session);
    }

    /// Goes on with PUBREL for a QoS 2 delivery; false when none was sent with that identifier.
    ///
    /// A restart must go on with PUBREL too: the client may have forgotten the identifier by
    /// then, and would take a second PUBLISH for a new message. So PUBREL leaves only when
    /// that is on disk, on this connection or the next.
    pub(crate) fn release(&mut self, session: u32, packet_id: PacketId) -> bool {
        if self.clients.get(session as usize).is_none_or(|client| client.online.is_none()) {
            return false;
        }
        let bytes = self.waiting_bytes;
        let known = self.with_queue(session, |queue| queue.pubrec(packet_id).is_some());
        if known != Some(true) {
            return false;
        }
        let freed = bytes - self.waiting_bytes;
        let Some(client) = self.clients.get_mut(session as usize) else { return false };
        let Some(online) = client.online.as_mut() else { return false };
        let Some(delivery) = client.outbound.pubrec(packet_id) else { return false };
        let lane = delivery.tag.lane;
        online.lighten(lane, freed);
        let Some((_, key)) = delivery.tag.stored.zip(client.key) else {
            crate::frames::release(packet_id, client.version, online.outbox_of(lane));
            self.wake(session);
            return true;
        };
        let sequence = delivery.sequence;
        let lsn = self.journal.append(Op::ReleaseDelivery { session: key, sequence });
        delivery.tag.stored = Some(lsn);
        let link = online.link;
        let mut bytes = crate::Outbox::default();
        crate::frames::release(packet_id, client.version, &mut bytes);
        let bytes = bytes.into_bytes();
        let weight = OP_WEIGHT + bytes.len();
        online.await_disk(lane);
        self.journal.wait_with(lsn, weight, Waiter::Packet { session, link, lane, bytes });
        true
    }

    pub(crate) fn pubcomp(&mut self, now: Timestamp, session: u32, ack: &Ack<'_>) {
        self.confirm(now, session, |outbound| outbound.pubcomp(ack.packet_id));
    }

    /// PUBREL: the publisher will not send this QoS 2 message again. PUBCOMP waits until
    /// the disk has forgotten the identifier, or a reused one would count as a repeat after
    /// a restart and its message would be lost.
    pub(crate) fn pubrel(&mut self, session: u32, ack: &Ack<'_>) {
        let packet_id = ack.packet_id;
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let known = client.release_identifier(packet_id);
        let lane = client.answers();
        let code = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        let ticket = client.inbound.next_ticket();
        let promise = Promise { session, uid: client.uid, ticket };
        if let Some(session) = client.key.filter(|_| known) {
            self.journal.append(Op::RemoveReceived { session, packet_id });
        }
        // One that is not known may have been forgotten for a PUBREL on the last connection.
        let lsn = self.journal.last();
        let waits = client.is_durable() && !self.journal.is_durable(lsn);
        let acknowledgement = Acknowledgement { kind: AckKind::PubComp, packet_id, code, lane };
        client.inbound.begin(acknowledgement, u32::from(waits));
        if waits {
            self.journal.wait(lsn, Waiter::Promise(promise));
        }
        self.send_acknowledgements(session);
    }

    fn confirm(
        &mut self,
        now: Timestamp,
        session: u32,
        acknowledge: impl FnOnce(&mut session::Outbound<Tag>) -> Option<Settled<Tag>>,
    ) {
        let Some(settled) = self.with_queue(session, acknowledge) else { return };
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let waiting = client.outbound.has_unsent() || client.outbound.rest().count > 0;
        if let Some(settled) = settled.filter(|s| s.tag != Tag::default()) {
            self.settled(session, settled);
        }
        if waiting {
            self.pump(now, session);
        }
    }
}
