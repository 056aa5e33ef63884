use std::rc::Rc;
use std::sync::Arc;

use broker::{LinkId, Timestamp};
use mqtt::{Ack, ConnAck, PacketId, PacketKind, QoS, ReasonCode};

use super::Reference;
use super::state::Answered;
use crate::disk::Disk;

/// What answers of the broker promise, held against the disk.
impl Reference {
    /// CONNACK promises a session, and that the one before it is gone.
    pub(super) fn greeted(
        &mut self,
        link: LinkId,
        client: &Arc<str>,
        connack: &ConnAck<'_>,
        disk: &Disk,
    ) {
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
            let there = stored.record.will.as_ref().map(|will| &*will.message.payload);
            let will = session.will.as_ref().map(|will| &*will.message.payload);
            // The last bytes of a connection may leave when another has taken over.
            let current = session.online == Some(link);
            assert!(!current || will.is_none() || there == will, "{client}: will on disk");
            session.will_promised |= current;
        }
    }

    /// PUBACK, PUBREC or PUBCOMP: in order, and what it promises is true.
    pub(super) fn acknowledged(
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
        self.promise_shares(link, owed.range, disk, at);
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
    pub(super) fn released(
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
            if self.released_shared(link, ack, disk, at) {
                return;
            }
            let connection = self.connections.get_mut(&link).expect("a connection");
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
    pub(super) fn answered(
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
