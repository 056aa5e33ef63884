use std::{collections::BTreeMap, sync::Arc};

use broker::Message;
use broker::durable::{
    DeliveryRecord, MessageKey, Op, SessionKey, SessionRecord, Snapshot, StoredSession,
    Subscription,
};
use mqtt::{PacketId, TopicFilterBuf, TopicNameBuf};
use portcullis_store::{Dropped, Incident, Loaded};

/// What a store is, said with maps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    sessions: BTreeMap<SessionKey, SessionRecord>,
    subscriptions: BTreeMap<(SessionKey, String), (TopicFilterBuf, Subscription)>,
    messages: BTreeMap<MessageKey, Arc<Message>>,
    deliveries: BTreeMap<(SessionKey, u64), DeliveryRecord>,
    received: BTreeMap<(SessionKey, PacketId), ()>,
    retained: BTreeMap<TopicNameBuf, Arc<Message>>,
    highest_message: Option<u64>,
    highest_session: Option<u32>,
}

/// What a load must give.
pub(crate) struct Expected {
    snapshot: Snapshot,
    dropped: Dropped,
}

impl Model {
    pub(crate) fn apply(&mut self, ops: &[Op]) {
        ops.iter().for_each(|op| self.apply_one(op.clone()));
    }

    fn apply_one(&mut self, op: Op) {
        match op {
            Op::PutSession { session, record } => {
                self.highest_session = self.highest_session.max(Some(session.0));
                self.sessions.insert(session, record);
            }
            Op::RemoveSession { session } => {
                self.sessions.remove(&session);
                self.subscriptions.retain(|(owner, _), _| *owner != session);
                self.deliveries.retain(|(owner, _), _| *owner != session);
                self.received.retain(|(owner, _), ()| *owner != session);
            }
            Op::PutSubscription { session, filter, subscription } => {
                let key = (session, filter.as_str().to_owned());
                self.subscriptions.insert(key, (filter, subscription));
            }
            Op::RemoveSubscription { session, filter } => {
                self.subscriptions.remove(&(session, filter.as_str().to_owned()));
            }
            Op::PutMessage { message, body } => {
                self.highest_message = self.highest_message.max(Some(message.0));
                self.messages.insert(message, body);
            }
            Op::RemoveMessage { message } => {
                self.messages.remove(&message);
            }
            Op::PutDelivery { session, sequence, delivery } => {
                self.deliveries.insert((session, sequence), delivery);
            }
            Op::RemoveDelivery { session, sequence } => {
                self.deliveries.remove(&(session, sequence));
            }
            Op::PutReceived { session, packet_id } => {
                self.received.insert((session, packet_id), ());
            }
            Op::RemoveReceived { session, packet_id } => {
                self.received.remove(&(session, packet_id));
            }
            Op::PutRetained { body } => {
                self.retained.insert(body.topic.clone(), body);
            }
            Op::RemoveRetained { topic } => {
                self.retained.remove(&topic);
            }
        }
    }

    /// Drops what belongs to nothing, as loading does, and says what is left.
    pub(crate) fn reload(&mut self) -> Expected {
        let mut dropped = Dropped::default();
        let sessions = &self.sessions;
        self.subscriptions
            .retain(|(owner, _), _| keep(sessions.contains_key(owner), &mut dropped.subscriptions));
        self.received
            .retain(|(owner, _), ()| keep(sessions.contains_key(owner), &mut dropped.received));
        let messages = &self.messages;
        self.deliveries.retain(|(owner, _), delivery| {
            keep(sessions.contains_key(owner), &mut dropped.deliveries_without_session)
                && keep(
                    delivery.released || messages.contains_key(&delivery.message),
                    &mut dropped.deliveries_without_message,
                )
        });
        let deliveries = &self.deliveries;
        self.messages.retain(|key, _| {
            keep(deliveries.values().any(|d| d.message == *key), &mut dropped.messages)
        });
        Expected { snapshot: self.snapshot(), dropped }
    }

    fn snapshot(&self) -> Snapshot {
        let session = |(key, record): (&SessionKey, &SessionRecord)| StoredSession {
            key: *key,
            record: record.clone(),
            subscriptions: of(&self.subscriptions, *key).map(|(_, s)| s.clone()).collect(),
            deliveries: of(&self.deliveries, *key).map(|(n, d)| (*n, d.clone())).collect(),
            received: of(&self.received, *key).map(|(id, ())| *id).collect(),
        };
        Snapshot {
            sessions: self.sessions.iter().map(session).collect(),
            messages: self.messages.iter().map(|(k, m)| (*k, Arc::clone(m))).collect(),
            retained: self.retained.values().cloned().collect(),
            next_message: self.highest_message.map_or(0, |n| n + 1),
            next_session: self.highest_session.map_or(0, |n| n + 1),
        }
    }
}

impl Expected {
    /// Compares; numbers may be skipped, never used again.
    pub(crate) fn assert_same(&self, loaded: &Loaded) {
        let mut found = loaded.snapshot.clone();
        assert!(found.next_message >= self.snapshot.next_message, "a message number comes again");
        found.next_message = self.snapshot.next_message;
        assert_eq!(found, self.snapshot);
        assert_eq!(loaded.dropped, self.dropped);
        assert_eq!(loaded.quarantined, []);
        // Records without what they belong to look like damage.
        let suspicious =
            self.dropped != Dropped { messages: self.dropped.messages, ..Dropped::default() };
        let set_aside = |incident: &Incident| matches!(incident, Incident::SetAside { .. });
        assert!(
            loaded.incidents.iter().all(|i| suspicious && set_aside(i)),
            "{:?}",
            loaded.incidents
        );
        assert!(loaded.repairs_failed.is_none(), "{:?}", loaded.repairs_failed);
    }
}

fn of<K, V>(
    map: &BTreeMap<(SessionKey, K), V>,
    owner: SessionKey,
) -> impl Iterator<Item = (&K, &V)> {
    map.iter().filter(move |((key, _), _)| *key == owner).map(|((_, key), value)| (key, value))
}

fn keep(condition: bool, dropped: &mut u64) -> bool {
    *dropped += u64::from(!condition);
    condition
}
