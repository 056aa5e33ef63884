use std::collections::BTreeMap;
use std::sync::Arc;

use auth::Identity;
use session::{Inbound, Message, Outbound, Timestamp};

use crate::Broker;
use crate::client::{Client, Offline, Tag};
use crate::durable::{Lsn, MessageKey, Op, Snapshot, StoredSession};

impl Broker {
    /// Goes on from what was durable when the gateway stopped. A session that was connected
    /// then counts as disconnected now.
    pub(crate) fn restore(&mut self, now: Timestamp, snapshot: Snapshot) {
        for message in snapshot.retained {
            self.retained.insert(message);
        }
        let messages: BTreeMap<MessageKey, Arc<Message>> = snapshot.messages.into_iter().collect();
        for stored in snapshot.sessions {
            self.restore_session(now, stored, &messages);
        }
        // What no queue names would stay on disk for ever.
        for message in messages.into_keys() {
            self.journal.remove_unless_referenced(message);
        }
    }

    fn restore_session(
        &mut self,
        now: Timestamp,
        stored: StoredSession,
        messages: &BTreeMap<MessageKey, Arc<Message>>,
    ) {
        let StoredSession { key, record, subscriptions, deliveries, received } = stored;
        let uid = self.new_uid();
        let mut outbound = Outbound::new(0);
        for (sequence, delivery) in deliveries {
            // The store reports entries whose message is gone; here they are nothing.
            let Some(body) = messages.get(&delivery.message) else {
                self.journal.append(Op::RemoveDelivery { session: key, sequence });
                continue;
            };
            self.journal.restore_reference(delivery.message);
            let tag = Tag { promise: None, message: Some(delivery.message), stored: Some(Lsn(0)) };
            let body = Arc::clone(body);
            outbound.restore(sequence, body, delivery.qos, delivery.retain, delivery.released, tag);
        }
        self.queued_bytes += outbound.weight();
        let mut inbound = Inbound::default();
        received.into_iter().for_each(|packet_id| inbound.receive(packet_id));
        let since = record.disconnected_at.unwrap_or(now);
        let until =
            (record.expiry_seconds != u32::MAX).then(|| since.after_seconds(record.expiry_seconds));
        let client_id = Arc::clone(&record.client_id);
        let client = Client {
            uid,
            identity: Identity {
                client_id: record.client_id,
                principal: record.principal,
                attributes: Vec::new(),
            },
            permissions: None,
            key: Some(key),
            terms: Lsn::default(),
            alarm: None,
            version: record.version,
            expiry_seconds: record.expiry_seconds,
            subscriptions: subscriptions.into_iter().collect(),
            outbound,
            inbound,
            will: None,
            online: None,
            offline: Some(Offline { since, until, will_due: None }),
        };
        let session = u32::try_from(self.clients.insert(client)).unwrap_or(u32::MAX);
        self.by_client_id.insert(client_id, session);
        self.set_alarm(session);
        let Some(client) = self.clients.get(session as usize) else { return };
        for (filter, options) in &client.subscriptions {
            self.subscriptions.insert(filter.as_filter(), session, *options);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::durable::{DeliveryRecord, Op, SessionKey, SessionRecord};
    use mqtt::{QoS, TopicName, Version};

    /// Only a damaged store has such things; they are cleared away rather than kept for ever.
    #[test]
    fn a_message_that_no_queue_names_and_an_entry_without_its_message_are_removed() {
        let body = Arc::new(Message {
            topic: TopicName::new("t").expect("valid").to_owned(),
            payload: Box::default(),
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: Box::default(),
            expires: None,
        });
        let entry = |message| DeliveryRecord {
            message: MessageKey(message),
            qos: QoS::AtLeastOnce,
            retain: false,
            released: false,
        };
        let key = SessionKey(1);
        let stored = StoredSession {
            key,
            record: SessionRecord {
                client_id: "a".into(),
                principal: "a".into(),
                version: Version::V5,
                expiry_seconds: u32::MAX,
                disconnected_at: None,
            },
            subscriptions: Vec::new(),
            deliveries: vec![(4, entry(1)), (5, entry(2))],
            received: Vec::new(),
        };
        let snapshot = Snapshot {
            sessions: vec![stored],
            messages: vec![(MessageKey(1), Arc::clone(&body)), (MessageKey(3), body)],
            next_message: 4,
            next_session: 2,
            ..Snapshot::default()
        };
        let mut broker = Broker::new(Settings::default(), 1, Timestamp::default(), snapshot);
        let ops = broker.take_commit().expect("something to clear away").ops;
        let expected = [
            Op::RemoveDelivery { session: key, sequence: 5 },
            Op::RemoveMessage { message: MessageKey(3) },
        ];
        assert_eq!(ops, expected);
    }
}
