use std::rc::Rc;
use std::sync::Arc;

use broker::{LinkId, Timestamp};
use mqtt::{
    Ack, ConnAck, Decoded, Decoder, Packet, PacketId, PacketKind, Publish, QoS, ReasonCode,
};

use super::state::Answered;
use super::{Connection, Due, Reference};
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

    /// CONNACK promises a session, and that the one before it is gone.
    fn greeted(&mut self, link: LinkId, client: &Arc<str>, connack: &ConnAck<'_>, disk: &Disk) {
        let connection = self.connections.get_mut(&link).expect("a connection");
        assert!(!connection.greeted, "{client} got CONNACK twice");
        assert_eq!(connack.code, ReasonCode::Success, "{client}");
        assert_eq!(connack.session_present, connection.present, "{client}: session present");
        connection.greeted = true;
        let session = self.sessions.get_mut(client).expect("a session");
        let stored = disk.of(client);
        let key = stored.map(|(key, _)| key);
        let before = self.ended.get(client).copied();
        assert!(
            key.is_none() || key != before,
            "{client}: CONNACK left before the end of the earlier session was on disk"
        );
        if session.durable {
            let (key, stored) = stored.unwrap_or_else(|| {
                panic!("{client}: CONNACK left before the session was on disk");
            });
            assert!(session.key.is_none_or(|known| known == key), "{client}: another session");
            session.key = Some(key);
            assert_eq!(stored.record.expiry_seconds, session.expiry, "{client}: expiry on disk");
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
        let connection = self.connections.get_mut(&link).expect("a connection");
        let mut ids: Vec<u32> = publish.subscription_ids.iter().collect();
        ids.sort_unstable();
        let like = |due: &Due| due.is(publish, topic) && due.retain == publish.retain;
        let exact = connection.loose.iter().position(|due| like(due) && due.ids == ids);
        let at_index =
            exact.or_else(|| connection.loose.iter().position(|due| due.is(publish, topic)));
        let index = at_index.unwrap_or_else(|| {
            panic!("{client} got {publish:?} on {topic}, due: {:?}", connection.loose.front());
        });
        let skipped: Vec<Due> = connection.loose.drain(..index).collect();
        let due = connection.loose.pop_front().expect("just found");
        let connection = &self.connections[&link];
        for skipped in &skipped {
            let excused = self.skippable(connection, skipped, at);
            assert!(excused, "{client} got {due:?} before {skipped:?}");
        }
        self.resolve(&due, client);
        self.compare(link, publish, &due, at);
    }

    fn delivered(&mut self, link: LinkId, client: &Arc<str>, publish: &Publish<'_>, at: Timestamp) {
        let connection = self.connections.get_mut(&link).expect("a connection");
        let topic = topic_of(connection, publish);
        if publish.qos == QoS::AtMostOnce {
            self.delivered_once(link, client, publish, &topic, at);
            return;
        }
        let (cursor, version, max) = (connection.cursor, connection.version, connection.max_packet);
        let session = self.sessions.get_mut(client).expect("a session");
        let candidates = session.row.iter().filter(|due| {
            let ahead = due.serial >= cursor || due.choice.is_some();
            due.is(publish, &topic) && !due.released && ahead
        });
        // A publisher may have sent it twice, and the first of them may have expired: before it
        // was sent, or since then, if the second cannot have been its turn yet.
        let known = candidates.clone().find(|due| due.packet_id == publish.packet_id);
        let mut fresh = candidates.clone().filter(|due| due.packet_id.is_none());
        let in_turn = |due: &&Due| {
            let before = session.row.iter().filter(|d| (cursor..due.serial).contains(&d.serial));
            before.clone().all(|d| d.released || session.may_be_skipped(d, at))
        };
        let found = known
            .or_else(|| {
                fresh.find(|due| {
                    let right = !due.message.is_expired(at) && due.retain == publish.retain;
                    right && in_turn(due)
                })
            })
            .or_else(|| candidates.clone().find(|due| due.retain == publish.retain))
            .or_else(|| candidates.clone().next())
            .map(|due| due.serial);
        let serial = found.unwrap_or_else(|| {
            panic!("{client} got {publish:?} on {topic}; it waits for {:#?}", session.row)
        });
        for due in session.row.iter_mut().filter(|d| (cursor..serial).contains(&d.serial)) {
            let excused = due.released
                || due.may_be_missing
                || due.choice.is_some()
                || due.message.is_expired(at)
                || due.len(version) > max;
            assert!(excused, "{client} got {publish:?} before {due:?}");
            // One that the client may hold is not dropped but released.
            due.released |= due.packet_id.is_some() && due.qos == QoS::ExactlyOnce;
        }
        session.row.retain(|due| {
            let kept =
                !(cursor..serial).contains(&due.serial) || due.released || due.choice.is_some();
            session.dropped.extend((!kept).then(|| Rc::clone(&due.message)));
            kept
        });
        let index = session.row.iter().position(|d| d.serial == serial).expect("just found");
        let mut due = session.row.remove(index);
        let fresh = due.packet_id.is_none();
        assert!(fresh || publish.dup, "{client} got {publish:?} again without DUP");
        let id = publish.packet_id.expect("an identifier");
        assert!(fresh || due.packet_id == Some(id), "{client} got {publish:?} as {due:?}");
        let twin = session.row.iter().find(|d| d.packet_id == Some(id) && d.sent_on == Some(link));
        assert!(twin.is_none(), "{client} got {publish:?}; the identifier is that of {twin:?}");
        // Of two that look the same the missing one may be the other.
        if fresh && std::mem::take(&mut due.may_be_missing) {
            let other = session.row.iter_mut().find(|d| d.is(publish, &topic));
            other.into_iter().for_each(|other| other.may_be_missing = true);
        }
        (due.packet_id, due.sent_on) = (Some(id), Some(link));
        self.compare(link, publish, &due, at);
        self.resolve(&due, client);
        due.choice = None;
        let session = self.sessions.get_mut(client).expect("a session");
        session.row.insert(index, due);
        let connection = self.connections.get_mut(&link).expect("a connection");
        connection.cursor = connection.cursor.max(serial + 1);
    }

    /// A shared message has come to one member, so it comes to no other.
    fn resolve(&mut self, due: &Due, client: &Arc<str>) {
        let Some(choice) = due.choice else { return };
        for (who, session) in &mut self.sessions {
            if who != client {
                session.row.retain(|other| other.choice != Some(choice));
            }
        }
        for connection in self.connections.values_mut() {
            connection.loose.retain(|other| other.choice != Some(choice));
        }
    }

    fn compare(&self, link: LinkId, publish: &Publish<'_>, due: &Due, at: Timestamp) {
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
        let right = match publish.message_expiry {
            // One that was sent in the same moment may have been received with nothing left.
            Some(got) if self.prompt => Some(got) == left,
            Some(got) => left <= Some(got) && Some(got) <= most,
            None => most.is_none(),
        };
        assert!(right, "{client}: expiry of {publish:?}; {left:?} of {most:?} s are left");
    }

    /// PUBACK, PUBREC or PUBCOMP: in order, and what it promises is true.
    fn acknowledged(
        &mut self,
        link: LinkId,
        ack: &Ack<'_>,
        kind: PacketKind,
        disk: &Disk,
        at: Timestamp,
    ) {
        let connection = self.connections.get_mut(&link).expect("a connection");
        let client = &Arc::clone(&connection.client);
        let owed = connection.owed.pop_front();
        let owed = owed.unwrap_or_else(|| panic!("{client} got {kind:?} {ack:?} for nothing"));
        assert_eq!((owed.kind, owed.packet_id), (kind, ack.packet_id), "{client}: {owed:?}");
        assert!(owed.codes.contains(&ack.code), "{client}: {ack:?} for {owed:?}");
        let session = self.sessions.get_mut(client).expect("a session");
        let stored = disk.of(client).map(|(_, stored)| stored);
        let on_disk = stored.is_some_and(|stored| stored.received.contains(&ack.packet_id));
        let received = session.received.get_mut(&ack.packet_id);
        if kind == PacketKind::PubComp {
            let forgotten = !on_disk || received.is_some();
            assert!(forgotten, "{client} got {ack:?} while the identifier is on disk");
            return;
        }
        if ack.code.is_error() {
            return;
        }
        if kind == PacketKind::PubRec
            && let Some(received) = received
            && received.range.0 < received.range.1
        {
            received.confirmed = true;
            let safe = on_disk || !session.durable;
            assert!(safe, "{client} got PUBREC {ack:?} before the identifier was on disk");
        }
        let (from, to) = owed.range;
        for (who, session) in self.sessions.iter_mut().filter(|(_, s)| s.durable) {
            let lost = session.row.iter().find(|due| {
                (from..to).contains(&due.serial)
                    && !session.may_be_skipped(due, at)
                    && !disk.holds(who, due)
            });
            assert!(lost.is_none(), "{client} got {ack:?} while {who} has {lost:?} in memory only");
            let promised = session.row.iter_mut().filter(|d| (from..to).contains(&d.serial));
            promised.for_each(|due| due.promised = true);
        }
        let Some(message) = owed.kept else { return };
        let now = disk.retained.get(message.topic.as_str());
        match self.retained.get_mut(&message.topic) {
            Some(kept) if kept.message == message => {
                let safe = now.is_some_and(|stored| *stored.payload == *message.payload);
                assert!(safe, "{client} got {ack:?} while {message:?} is retained in memory only");
                kept.promised = true;
            }
            None if self
                .cleared
                .get(&message.topic)
                .is_some_and(|last| Rc::ptr_eq(last, &message)) =>
            {
                assert!(now.is_none(), "{client} got {ack:?} while {now:?} is retained on disk");
            }
            _ => {}
        }
    }

    /// PUBREL: the message is the client's, and a restart must know that.
    fn released(
        &mut self,
        link: LinkId,
        client: &Arc<str>,
        ack: &Ack<'_>,
        disk: &Disk,
        at: Timestamp,
    ) {
        let connection = self.connections.get_mut(&link).expect("a connection");
        let session = self.sessions.get_mut(client).expect("a session");
        let id = ack.packet_id;
        let known = session
            .row
            .iter_mut()
            .find(|due| due.packet_id == Some(id) && due.qos == QoS::ExactlyOnce);
        let Some(due) = known else {
            let asked = connection.unknown.iter().position(|unknown| *unknown == id);
            connection.unknown.swap_remove(asked.unwrap_or_else(|| {
                panic!("{client} got {ack:?} for nothing");
            }));
            return;
        };
        let given_up =
            due.message.is_expired(at) || due.len(connection.version) > connection.max_packet;
        assert!(due.released || given_up, "{client} got {ack:?} for {due:?}");
        due.released = true;
        due.released_aloud = true;
        due.sent_on = Some(link);
        let safe = !session.durable || disk.released(client, id);
        assert!(safe, "{client} got {ack:?} before the disk knows that it has {due:?}");
    }

    /// SUBACK or UNSUBACK, when what it promises is on disk.
    fn answered(
        &mut self,
        link: LinkId,
        client: &Arc<str>,
        kind: PacketKind,
        packet_id: PacketId,
        codes: &[ReasonCode],
        disk: &Disk,
    ) {
        let connection = self.connections.get_mut(&link).expect("a connection");
        // They may overtake each other.
        let answers = &mut connection.answers;
        let index = answers.iter().position(|a| a.kind == kind && a.packet_id == packet_id);
        let answer = index.and_then(|index| answers.remove(index));
        let answer = answer.unwrap_or_else(|| panic!("{client} got {kind:?} for nothing"));
        let Answered { filters, codes: expected, .. } = answer;
        assert_eq!(codes, expected, "{client}: codes of {kind:?} for {filters:?}");
        let answers = &connection.answers;
        let again = |name: &str| answers.iter().flat_map(|a| &a.filters).any(|(f, _)| f == name);
        let session = self.sessions.get_mut(client).expect("a session");
        let stored = disk.of(client).map(|(_, stored)| &stored.subscriptions);
        for (filter, asked) in filters {
            let there = stored.and_then(|stored| stored.get(filter.as_str()));
            match (asked, session.subscriptions.get_mut(&filter)) {
                (Some(asked), Some(now)) if now.made == asked.made => {
                    let safe = !session.durable || there.is_some_and(|there| asked.is(there));
                    assert!(safe, "{client} got SUBACK while {filter} is not on disk");
                    now.confirmed = true;
                }
                // One that waited long may be about a removal that is not the last.
                (None, None) if kind == PacketKind::UnsubAck && !again(&filter) => {
                    let safe = !session.durable || there.is_none();
                    assert!(safe, "{client} got UNSUBACK while {filter} is on disk");
                    session.removed.insert(filter);
                }
                _ => {}
            }
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
