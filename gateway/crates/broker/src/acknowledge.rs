use mqtt::{Ack, QoS, ReasonCode};
use session::{AckKind, Acknowledgement, Settled, Timestamp};

use crate::Broker;
use crate::broker::Waiter;
use crate::client::{Promise, Tag};
use crate::durable::{DeliveryRecord, Op};

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
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let (uid, key) = (client.uid, client.key);
        let Some(online) = client.online.as_mut() else { return };
        let Some(delivery) = client.outbound.pubrec(ack.packet_id) else {
            crate::frames::release_unknown(ack.packet_id, client.version, &mut online.outbox);
            self.wake(session);
            return;
        };
        // A restart must go on with PUBREL: the client may have forgotten the identifier by
        // then, and would take a second PUBLISH for a new message. So PUBREL leaves only
        // when that is on disk.
        let stored = delivery.tag.stored.zip(delivery.tag.message).zip(key);
        let Some(((_, message), key)) = stored else {
            crate::frames::release(ack.packet_id, client.version, &mut online.outbox);
            self.wake(session);
            return;
        };
        let record = DeliveryRecord {
            message,
            qos: QoS::ExactlyOnce,
            retain: delivery.retain,
            released: true,
        };
        let sequence = delivery.sequence;
        let link = online.link;
        let mut bytes = crate::Outbox::default();
        crate::frames::release(ack.packet_id, client.version, &mut bytes);
        let lsn = self.journal.append(Op::PutDelivery { session: key, sequence, delivery: record });
        let bytes = std::mem::take(bytes.bytes_mut()).into_boxed_slice();
        debug_assert!(
            self.clients.get(session as usize).is_some_and(|c| c.uid == uid),
            "same client"
        );
        self.journal.wait(lsn, Waiter::Packet { session, link, bytes });
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
        let known = client.inbound.release(packet_id);
        let code = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        let ticket = client.inbound.next_ticket();
        let promise = Promise { session, uid: client.uid, ticket };
        let durable = client.key.filter(|_| known);
        let acknowledgement = Acknowledgement { kind: AckKind::PubComp, packet_id, code };
        client.inbound.begin(acknowledgement, u32::from(durable.is_some()));
        if let Some(key) = durable {
            let lsn = self.journal.append(Op::RemoveReceived { session: key, packet_id });
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
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let before = client.outbound.weight();
        let settled = acknowledge(&mut client.outbound);
        self.queued_bytes -= before - client.outbound.weight();
        let waiting = client.outbound.has_unsent();
        if let Some(settled) = settled.filter(|s| s.tag != Tag::default()) {
            self.settled(session, settled);
        }
        if waiting {
            self.pump(now, session);
        }
    }
}
