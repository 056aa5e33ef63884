use std::collections::BTreeMap;
use std::sync::Arc;

use auth::Identity;
use mqtt::TopicFilterBuf;
use session::{Inbound, Message, Outbound, Timestamp};

use crate::Broker;
use crate::client::{Client, Offline, Tag};
use crate::durable::{DeliveryRecord, Lsn, MessageKey, Op, Snapshot, StoredSession, Subscription};
use crate::routes::Origin;

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
            let tag = Tag {
                promise: None,
                message: Some(delivery.message),
                stored: Some(Lsn(0)),
                origin: origin(&delivery, body, &subscriptions),
            };
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
        for (filter, subscription) in &client.subscriptions {
            self.subscriptions.insert(filter.as_filter(), session, *subscription);
        }
    }
}

/// The subscriptions that a stored delivery came of. Of a shared one the disk knows only that it
/// was one: it is one of those that the session has.
fn origin(
    delivery: &DeliveryRecord,
    message: &Message,
    subscriptions: &[(TopicFilterBuf, Subscription)],
) -> Option<Arc<Origin>> {
    let mut origin = Origin::default();
    for id in &delivery.ids {
        // A number out of its range is damage, and no identifier.
        let _ = origin.ids.push(*id);
    }
    if delivery.shared {
        let filters = subscriptions.iter().map(|(filter, _)| filter);
        origin.group = filters
            .filter(|filter| filter.as_filter().share_group().is_some())
            .find(|filter| filter.as_filter().matches(message.topic.as_topic()))
            .cloned();
    }
    (origin != Origin::default()).then(|| Arc::new(origin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::durable::{SessionKey, SessionRecord};
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
            shared: false,
            ids: Vec::new(),
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
