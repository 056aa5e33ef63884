//! What a store would hold: ops applied in order, and nothing else. It refuses ops that no
//! store could make sense of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mqtt::{PacketId, TopicFilterBuf, TopicNameBuf};
use portcullis_broker::Message;
use portcullis_broker::durable::{
    DeliveryRecord, MessageKey, Op, SessionKey, SessionRecord, Snapshot, StoredSession,
    Subscription,
};

/// The durable state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    sessions: BTreeMap<SessionKey, Session>,
    pub(crate) messages: BTreeMap<MessageKey, Arc<Message>>,
    retained: BTreeMap<TopicNameBuf, Arc<Message>>,
    next_message: u64,
    next_session: u32,
}

#[derive(Clone, Debug)]
struct Session {
    record: SessionRecord,
    subscriptions: BTreeMap<TopicFilterBuf, Subscription>,
    deliveries: BTreeMap<u64, DeliveryRecord>,
    received: BTreeSet<PacketId>,
}

impl Model {
    /// Applies one op and says what it was.
    pub(crate) fn apply(&mut self, op: Op) -> &'static str {
        match op {
            Op::PutSession { session, record } => {
                self.next_session = self.next_session.max(session.0 + 1);
                self.put_session(session, record);
                "session"
            }
            Op::RemoveSession { session } => {
                assert!(self.sessions.remove(&session).is_some(), "no such session");
                "-session"
            }
            Op::PutSubscription { session, filter, subscription } => {
                self.session(session).subscriptions.insert(filter, subscription);
                "subscription"
            }
            Op::RemoveSubscription { session, filter } => {
                let removed = self.session(session).subscriptions.remove(filter.as_str());
                assert!(removed.is_some(), "no such subscription");
                "-subscription"
            }
            Op::PutMessage { message, body } => {
                self.next_message = self.next_message.max(message.0 + 1);
                assert!(self.messages.insert(message, body).is_none(), "stored twice");
                "message"
            }
            Op::RemoveMessage { message } => {
                assert!(self.messages.remove(&message).is_some(), "no such message");
                "-message"
            }
            Op::PutDelivery { session, sequence, delivery } => {
                assert!(self.messages.contains_key(&delivery.message), "entry without message");
                self.session(session).deliveries.insert(sequence, delivery);
                "delivery"
            }
            Op::RemoveDelivery { session, sequence } => {
                let removed = self.session(session).deliveries.remove(&sequence);
                assert!(removed.is_some(), "no such queue entry");
                "-delivery"
            }
            Op::PutReceived { session, packet_id } => {
                self.session(session).received.insert(packet_id);
                "received"
            }
            Op::RemoveReceived { session, packet_id } => {
                self.session(session).received.remove(&packet_id);
                "-received"
            }
            Op::PutRetained { body } => {
                self.retained.insert(body.topic.clone(), body);
                "retained"
            }
            Op::RemoveRetained { topic } => {
                assert!(self.retained.remove(&topic).is_some(), "nothing retained there");
                "-retained"
            }
        }
    }

    fn put_session(&mut self, session: SessionKey, record: SessionRecord) {
        let twin = self
            .sessions
            .iter()
            .any(|(key, known)| *key != session && known.record.client_id == record.client_id);
        assert!(!twin, "two sessions of client {:?}", record.client_id);
        match self.sessions.get_mut(&session) {
            Some(known) => known.record = record,
            None => {
                let session_is_new = Session {
                    record,
                    subscriptions: BTreeMap::new(),
                    deliveries: BTreeMap::new(),
                    received: BTreeSet::new(),
                };
                self.sessions.insert(session, session_is_new);
            }
        }
    }

    fn session(&mut self, session: SessionKey) -> &mut Session {
        self.sessions.get_mut(&session).expect("the op names a session that exists")
    }

    /// Queue entries of all sessions.
    pub(crate) fn deliveries(&self) -> usize {
        self.sessions.values().map(|session| session.deliveries.len()).sum()
    }

    /// Unreleased QoS 2 identifiers of all sessions.
    pub(crate) fn received(&self) -> usize {
        self.sessions.values().map(|session| session.received.len()).sum()
    }

    /// What a broker would start from.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            sessions: self
                .sessions
                .iter()
                .map(|(key, session)| StoredSession {
                    key: *key,
                    record: session.record.clone(),
                    subscriptions: session.subscriptions.clone().into_iter().collect(),
                    deliveries: session.deliveries.clone().into_iter().collect(),
                    received: session.received.iter().copied().collect(),
                })
                .collect(),
            messages: self.messages.clone().into_iter().collect(),
            retained: self.retained.values().cloned().collect(),
            next_message: self.next_message,
            next_session: self.next_session,
        }
    }
}
