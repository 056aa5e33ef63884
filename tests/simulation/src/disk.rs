use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker::durable::{
    DeliveryRecord, Op, Page, QueueSummary, Read, SessionKey, SessionRecord, Snapshot,
    StoredDelivery, StoredSession, Subscription,
};
use broker::{Message, Timestamp};
use mqtt::{PacketId, TopicFilterBuf, TopicNameBuf};

use crate::reference::Due;

/// What a store would hold: ops applied in order, and nothing else. It refuses ops that no
/// store could make sense of.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    sessions: BTreeMap<SessionKey, Stored>,
    pub(crate) retained: BTreeMap<TopicNameBuf, Arc<Message>>,
    next_session: u32,
}

/// One durable session.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) record: SessionRecord,
    pub(crate) subscriptions: BTreeMap<TopicFilterBuf, Subscription>,
    pub(crate) deliveries: BTreeMap<u64, Entry>,
    pub(crate) received: BTreeSet<PacketId>,
}

/// One queue entry with its message, of a released one too, so that it can be told which it is.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) record: DeliveryRecord,
    pub(crate) body: Arc<Message>,
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
            Op::PutDelivery { session, sequence, delivery, body, .. } => {
                let entry = Entry { record: delivery, body };
                let twin = self.session(session).deliveries.insert(sequence, entry);
                assert!(twin.is_none(), "two queue entries at {sequence}");
                "delivery"
            }
            Op::ReleaseDelivery { session, sequence } => {
                let entry = self.session(session).deliveries.get_mut(&sequence);
                entry.expect("the op names a queue entry that exists").record.released = true;
                "released"
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
        let twin = self.sessions.iter().any(|(key, known)| {
            *key != session && !known.record.ended && known.record.client_id == record.client_id
        });
        assert!(!twin || record.ended, "two sessions of client {:?}", record.client_id);
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
        let found = sessions
            .find(|(_, session)| *session.record.client_id == *client_id && !session.record.ended);
        found.map(|(key, session)| (*key, session))
    }

    /// The sessions that go on, by key.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = (SessionKey, &Stored)> {
        let sessions = self.sessions.iter().filter(|(_, session)| !session.record.ended);
        sessions.map(|(key, session)| (*key, session))
    }

    /// All sessions, those included that are over and have something left.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Stored> {
        self.sessions.values()
    }

    /// Whether a delivery is on disk.
    pub(crate) fn holds(&self, client_id: &str, due: &Due) -> bool {
        self.of(client_id).is_some_and(|(_, session)| {
            session.deliveries.values().any(|Entry { record, body: message }| {
                record.qos == due.qos
                    && !record.shared
                    && message.topic.as_str() == due.message.topic
                    && *message.payload == *due.message.payload
            })
        })
    }

    /// Whether the disk knows that a client has the QoS 2 message of this identifier.
    pub(crate) fn released(&self, client_id: &str, packet_id: PacketId) -> bool {
        self.of(client_id).is_some_and(|(_, session)| {
            let mut deliveries = session.deliveries.iter();
            deliveries.any(|(sequence, e)| identifier(*sequence) == packet_id && e.record.released)
        })
    }

    /// What a queue holds, as a store would read it.
    #[must_use]
    pub fn read(&self, read: &Read) -> Page {
        let mut page = Page { entries: Vec::new(), next: None, first_expiry: None };
        let Some(session) = self.sessions.get(&read.session) else { return page };
        let mut bytes = 0;
        for (sequence, entry) in session.deliveries.range(read.from..) {
            if page.entries.len() >= read.max_entries || bytes > read.max_bytes {
                page.next = Some(*sequence);
                break;
            }
            let (record, weight) = (&entry.record, entry.weight());
            let expires = entry.body.expires.filter(|_| !record.released);
            if !read.wanted.takes(expires, &record.ids) {
                page.first_expiry = page.first_expiry.into_iter().chain(expires).min();
                continue;
            }
            bytes += weight;
            let wanted = !record.released && read.wanted.with_messages();
            page.entries.push(StoredDelivery {
                sequence: *sequence,
                delivery: record.clone(),
                weight,
                body: wanted.then(|| Arc::clone(&entry.body)),
            });
        }
        page
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
                    queue: session.queue(),
                    received: session.received.iter().copied().collect(),
                })
                .collect(),
            retained: self.retained.values().cloned().collect(),
            next_session: self.next_session,
        }
    }
}

impl Stored {
    fn queue(&self) -> QueueSummary {
        let first_and_last = self.deliveries.keys().next().zip(self.deliveries.keys().last());
        let (first, next) = first_and_last.map_or((0, 0), |(first, last)| (*first, last + 1));
        let live = self.deliveries.values().filter(|entry| !entry.record.released);
        let expiries: Vec<Timestamp> = live.filter_map(|entry| entry.body.expires).collect();
        let mut summary = QueueSummary {
            first,
            next,
            count: self.deliveries.len(),
            weight: self.deliveries.values().map(Entry::weight).sum(),
            shared: self.deliveries.values().filter(|entry| entry.record.shared).count(),
            first_expiry: expiries.into_iter().min(),
            ..QueueSummary::default()
        };
        for entry in self.deliveries.values() {
            summary.classify(&entry.record.ids, entry.weight());
        }
        summary
    }
}

impl Entry {
    /// What a store says that it weighs.
    fn weight(&self) -> usize {
        if self.record.released { 0 } else { self.body.weight() }
    }
}

/// The packet identifier that a position in a queue has on the wire.
pub(crate) fn identifier(sequence: u64) -> PacketId {
    PacketId::new((sequence % 65_535) as u16 + 1).expect("not 0")
}
