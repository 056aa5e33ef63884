use std::sync::Arc;

use broker::{LinkId, Timestamp};
use mqtt::{Decoded, Decoder, Packet, PacketKind, Publish, QoS};

use super::{Connection, Due, Message, Reference};
use crate::disk::Disk;

/// What leaves the broker, held against what must leave it and against the disk.
impl Reference {
    pub(super) fn emitted(&mut self, link: LinkId, bytes: &[u8], disk: &Disk, at: Timestamp) {
        let Some(connection) = self.connections.get(&link) else {
            panic!("no connection {link:?}")
        };
        let client = Arc::clone(&connection.client);
        let current = self.sessions.get(&client).is_some_and(|s| s.epoch == connection.epoch);
        let mut decoder = Decoder::new(u32::MAX);
        decoder.set_version(connection.version);
        let mut rest = bytes;
        loop {
            let decoded = decoder.decode(rest);
            let (packet, len) = match decoded.unwrap_or_else(|e| panic!("{client}: {e}")) {
                Decoded::Packet { packet, len } => (packet, len),
                Decoded::Incomplete { .. } => break,
            };
            let size = len;
            rest = &rest[len..];
            // Of a session that is over there is nothing left to compare with.
            if current {
                self.check_size(link, &packet, size);
                self.check(link, &client, &packet, disk, at);
            }
        }
        assert!(rest.is_empty(), "{client}: the broker writes whole packets");
    }

    fn check_size(&self, link: LinkId, packet: &Packet<'_>, size: usize) {
        let connection = &self.connections[&link];
        assert!(
            size <= connection.max_packet,
            "{}: {size} bytes of {packet:?} exceed its Maximum Packet Size",
            connection.client
        );
    }

    fn check(
        &mut self,
        link: LinkId,
        client: &Arc<str>,
        packet: &Packet<'_>,
        disk: &Disk,
        at: Timestamp,
    ) {
        let connection = self.connections.get_mut(&link).expect("a connection");
        assert!(
            connection.greeted || matches!(packet, Packet::ConnAck(_)),
            "{client} got {packet:?} before CONNACK"
        );
        match packet {
            Packet::ConnAck(connack) => self.greeted(link, client, connack, disk),
            Packet::Publish(publish) => self.delivered(link, client, publish, at),
            Packet::PubAck(ack) => self.acknowledged(link, ack, PacketKind::PubAck, disk, at),
            Packet::PubRec(ack) => self.acknowledged(link, ack, PacketKind::PubRec, disk, at),
            Packet::PubComp(ack) => self.acknowledged(link, ack, PacketKind::PubComp, disk, at),
            Packet::PubRel(ack) => self.released(link, client, ack, disk, at),
            Packet::SubAck(ack) => {
                self.answered(link, client, PacketKind::SubAck, ack.packet_id, &ack.codes, disk);
            }
            Packet::UnsubAck(ack) => {
                self.answered(link, client, PacketKind::UnsubAck, ack.packet_id, &ack.codes, disk);
            }
            Packet::PingResp => {
                assert!(connection.pings > 0, "{client} got PINGRESP for nothing");
                connection.pings -= 1;
            }
            Packet::Disconnect(_) => {}
            other => panic!("{client} got {other:?}"),
        }
    }

    /// A QoS 0 message: the next one, but for those that may be missing.
    fn delivered_once(
        &mut self,
        link: LinkId,
        client: &Arc<str>,
        publish: &Publish<'_>,
        topic: &str,
        at: Timestamp,
    ) {
        let like = |due: &Due| due.is(publish, topic) && due.retain == publish.retain;
        let loose = &self.connections[&link].loose;
        let exact = loose.iter().position(|due| like(due) && self.says_all(link, publish, due, at));
        if exact.is_none() && self.shared_first(link, publish, topic, at) {
            return;
        }
        let connection = self.connections.get_mut(&link).expect("a connection");
        let at_index =
            exact.or_else(|| connection.loose.iter().position(|due| due.is(publish, topic)));
        let index = at_index.unwrap_or_else(|| {
            panic!(
                "{client} got {publish:?} on {topic}, due: {:?} or {:#?}",
                connection.loose.front(),
                self.shares.last()
            );
        });
        let skipped: Vec<Due> = connection.loose.drain(..index).collect();
        let due = connection.loose.pop_front().expect("just found");
        let connection = &self.connections[&link];
        for skipped in &skipped {
            let excused = self.skippable(connection, skipped, at);
            assert!(excused, "{client} got {due:?} before {skipped:?}");
        }
        self.compare(link, publish, &due, at);
    }

    /// The delivery that a PUBLISH is by all that it says, and the one that it may be otherwise.
    fn candidates(
        &self,
        link: LinkId,
        publish: &Publish<'_>,
        topic: &str,
        at: Timestamp,
    ) -> (Option<u64>, Option<u64>) {
        let connection = &self.connections[&link];
        let cursor = connection.cursor;
        let session = &self.sessions[&connection.client];
        let candidates = session
            .row
            .iter()
            .filter(|due| due.is(publish, topic) && !due.released && due.serial >= cursor);
        // A publisher may have sent it twice, and the first of them may have expired: before it
        // was sent, or since then, if the second cannot have been its turn yet.
        let known = candidates.clone().find(|due| due.packet_id == publish.packet_id);
        let fresh = candidates.clone().filter(|due| due.packet_id.is_none());
        let in_turn = |due: &&Due| {
            let before = session.row.iter().filter(|d| (cursor..due.serial).contains(&d.serial));
            before.clone().all(|d| d.released || session.may_be_skipped(d, at))
        };
        let right = |due: &&Due| {
            !due.message.is_expired(at) && due.retain == publish.retain && in_turn(due)
        };
        let same = |due: &&Due| self.says_all(link, publish, due, at);
        let exact = known.or_else(|| fresh.clone().find(|due| right(due) && same(due)));
        let exact = exact.map(|due| due.serial);
        let other = fresh
            .clone()
            .find(right)
            .or_else(|| candidates.clone().find(|due| due.retain == publish.retain))
            .or_else(|| candidates.clone().next())
            .map(|due| due.serial);
        (exact, other)
    }

    /// Whether a PUBLISH says everything that this delivery would: messages without a payload look alike.
    fn says_all(&self, link: LinkId, publish: &Publish<'_>, due: &Due, at: Timestamp) -> bool {
        let mut ids: Vec<u32> = publish.subscription_ids.iter().collect();
        ids.sort_unstable();
        let mut properties = Vec::new();
        publish.properties.write_to(&mut properties);
        !self.connections[&link].version.is_v5()
            || (due.ids == ids
                && due.message.properties == properties
                && self.is_expiry_of(publish, &due.message, at))
    }

    fn delivered(&mut self, link: LinkId, client: &Arc<str>, publish: &Publish<'_>, at: Timestamp) {
        let connection = self.connections.get_mut(&link).expect("a connection");
        let topic = topic_of(connection, publish);
        if publish.qos == QoS::AtMostOnce {
            self.delivered_once(link, client, publish, &topic, at);
            return;
        }
        if self.shared_again(link, publish, &topic, at) {
            return;
        }
        let connection = &self.connections[&link];
        let (cursor, version, max) = (connection.cursor, connection.version, connection.max_packet);
        let (exact, other) = self.candidates(link, publish, &topic, at);
        if exact.is_none() && self.shared_first(link, publish, &topic, at) {
            return;
        }
        let session = self.sessions.get_mut(client).expect("a session");
        let found = exact.or(other);
        // One that had expired when it left may have been taken for its twin.
        let mut dropped = session
            .dropped
            .iter()
            .filter(|m| publish.qos == QoS::AtLeastOnce && *m.payload == *publish.payload);
        if found.is_none() && dropped.next().is_some() {
            return;
        }
        let serial = found.unwrap_or_else(|| {
            panic!(
                "{client} got {publish:?} on {topic}; it waits for {:#?} or {:#?}",
                session.row, self.shares
            )
        });
        session.pass_by(cursor..serial, max, version, at, publish);
        let index = session.row.iter().position(|d| d.serial == serial).expect("just found");
        let mut due = session.row.remove(index);
        let fresh = due.packet_id.is_none();
        assert!(!due.sent || publish.dup, "{client} got {publish:?} again without DUP");
        due.sent = true;
        let id = publish.packet_id.expect("an identifier");
        assert!(fresh || due.packet_id == Some(id), "{client} got {publish:?} as {due:?}");
        let twin = session.row.iter().find(|d| d.packet_id == Some(id) && d.sent_on == Some(link));
        assert!(twin.is_none(), "{client} got {publish:?}; the identifier is that of {twin:?}");
        // Of two that look the same the missing one may be the other.
        if fresh && std::mem::take(&mut due.may_be_missing) {
            let like = |d: &&mut Due| d.is(publish, &topic) && d.packet_id.is_none();
            let other = session.row.iter_mut().filter(like).find(|d| !d.may_be_missing);
            other.into_iter().for_each(|other| other.may_be_missing = true);
        }
        (due.packet_id, due.sent_on) = (Some(id), Some(link));
        self.compare(link, publish, &due, at);
        let session = self.sessions.get_mut(client).expect("a session");
        session.row.insert(index, due);
        let connection = self.connections.get_mut(&link).expect("a connection");
        connection.cursor = connection.cursor.max(serial + 1);
    }

    pub(super) fn compare(&self, link: LinkId, publish: &Publish<'_>, due: &Due, at: Timestamp) {
        let Connection { client, version, .. } = &self.connections[&link];
        assert_eq!(publish.retain, due.retain, "{client}: RETAIN of {publish:?}, {due:?}");
        if !version.is_v5() {
            return;
        }
        let mut properties = Vec::new();
        publish.properties.write_to(&mut properties);
        assert_eq!(properties, due.message.properties, "{client}: properties of {publish:?}");
        let mut ids: Vec<u32> = publish.subscription_ids.iter().collect();
        ids.sort_unstable();
        assert_eq!(ids, due.ids, "{client}: subscription identifiers of {publish:?}");
        let (left, most) = (due.message.left(at), due.message.expiry);
        let right = self.is_expiry_of(publish, &due.message, at);
        assert!(right, "{client}: expiry of {publish:?}; {left:?} of {most:?} s are left");
    }

    pub(super) fn is_expiry_of(&self, publish: &Publish<'_>, m: &Message, at: Timestamp) -> bool {
        let (left, most) = (m.left(at), m.expiry);
        match publish.message_expiry {
            // One that was sent in the same moment may have been received with nothing left.
            Some(got) if self.prompt => Some(got) == left,
            Some(got) => left <= Some(got) && Some(got) <= most,
            None => most.is_none(),
        }
    }
}

fn topic_of(connection: &mut Connection, publish: &Publish<'_>) -> String {
    let aliases = &mut connection.aliases_out;
    let Some(alias) = publish.topic_alias.map(std::num::NonZero::get) else {
        return publish.topic.expect("a topic").as_str().to_owned();
    };
    assert!(alias <= connection.alias_max, "{}: alias {alias} is too high", connection.client);
    match publish.topic {
        Some(topic) => {
            aliases.insert(alias, topic.as_str().to_owned());
            topic.as_str().to_owned()
        }
        None => aliases.get(&alias).expect("an alias that was set").clone(),
    }
}
