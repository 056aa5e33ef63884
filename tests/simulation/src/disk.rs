use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker::Message;
use broker::durable::{
    DeliveryRecord, MessageKey, Op, SessionKey, SessionRecord, Snapshot, StoredSession,
    Subscription,
};
use mqtt::{PacketId, TopicFilterBuf, TopicNameBuf};

use crate::reference::Due;

/// What a store would hold: ops applied in order, and nothing else. It refuses ops that no
/// store could make sense of.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    sessions: BTreeMap<SessionKey, Stored>,
    pub(crate) messages: BTreeMap<MessageKey, Arc<Message>>,
    pub(crate) retained: BTreeMap<TopicNameBuf, Arc<Message>>,
    next_message: u64,
    next_session: u32,
}

/// One durable session.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) record: SessionRecord,
    pub(crate) subscriptions: BTreeMap<TopicFilterBuf, Subscription>,
    pub(crate) deliveries: BTreeMap<u64, DeliveryRecord>,
    pub(crate) received: BTreeSet<PacketId>,
}

impl Disk {
    /// Applies one op and says what it was.
    pub fn apply(&mut self, op: Op) -> &'static str {
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
                let session_is_new = Stored {
                    record,
                    subscriptions: BTreeMap::new(),
                    deliveries: BTreeMap::new(),
                    received: BTreeSet::new(),
                };
                self.sessions.insert(session, session_is_new);
            }
        }
    }

    fn session(&mut self, session: SessionKey) -> &mut Stored {
        self.sessions.get_mut(&session).expect("the op names a session that exists")
    }

    /// The session of a client.
    pub(crate) fn of(&self, client_id: &str) -> Option<(SessionKey, &Stored)> {
        let mut sessions = self.sessions.iter();
        let found = sessions.find(|(_, session)| *session.record.client_id == *client_id);
        found.map(|(key, session)| (*key, session))
    }

    /// The sessions, by key.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = (SessionKey, &Stored)> {
        self.sessions.iter().map(|(key, session)| (*key, session))
    }

    /// Whether a delivery is on disk.
    pub(crate) fn holds(&self, client_id: &str, due: &Due) -> bool {
        self.of(client_id).is_some_and(|(_, session)| {
            session.deliveries.values().any(|record| {
                let message = &self.messages[&record.message];
                record.qos == due.qos
                    && message.topic.as_str() == due.message.topic
                    && *message.payload == *due.message.payload
            })
        })
    }

    /// Whether the disk knows that a client has the QoS 2 message of this identifier.
    pub(crate) fn released(&self, client_id: &str, packet_id: PacketId) -> bool {
        self.of(client_id).is_some_and(|(_, session)| {
            let mut deliveries = session.deliveries.iter();
            deliveries
                .any(|(sequence, record)| identifier(*sequence) == packet_id && record.released)
        })
    }

    /// Stored messages.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Queue entries of all sessions.
    #[must_use]
    pub fn deliveries(&self) -> usize {
        self.sessions.values().map(|session| session.deliveries.len()).sum()
    }

    /// Unreleased QoS 2 identifiers of all sessions.
    #[must_use]
    pub fn received(&self) -> usize {
        self.sessions.values().map(|session| session.received.len()).sum()
    }

    /// What a broker would start from.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
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

/// The packet identifier that a position in a queue has on the wire.
pub(crate) fn identifier(sequence: u64) -> PacketId {
    PacketId::new((sequence % 65_535) as u16 + 1).expect("not 0")
}
