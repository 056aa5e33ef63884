//! What the broker wants on disk, as values.
//!
//! The broker numbers every [`Op`] with a log sequence number. Whoever keeps the
//! ops tells the broker how far they are durable, and only then do the
//! acknowledgements that waited for them leave. Applying a prefix of the ops must
//! always give a state that the broker can start from.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use mqtt::{PacketId, QoS, SubscribeOptions, TopicFilterBuf, Version};
use session::{Load, Message, Timestamp};

pub use session::{Class, Sum};

/// Number of a durable session, unique while its record exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub u32);

/// Number of a message, never used twice between two starts. The store writes a message that it
/// has seen a moment ago under the same number only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey(pub u64);

/// Position in the sequence of all ops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// One change of the durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Creates or replaces a session's record; its queue and subscriptions stay.
    PutSession {
        /// Which session.
        session: SessionKey,
        /// What to remember of it.
        record: SessionRecord,
    },
    /// Removes a session with its subscriptions, queue and received identifiers.
    RemoveSession {
        /// Which session.
        session: SessionKey,
    },
    /// Creates or replaces one subscription.
    PutSubscription {
        /// Whose subscription.
        session: SessionKey,
        /// Its topic filter.
        filter: TopicFilterBuf,
        /// What was asked for.
        subscription: Subscription,
    },
    /// Removes one subscription.
    RemoveSubscription {
        /// Whose subscription.
        session: SessionKey,
        /// Its topic filter.
        filter: TopicFilterBuf,
    },
    /// Creates or replaces one entry of a session's queue.
    PutDelivery {
        /// Whose queue.
        session: SessionKey,
        /// Position in the queue; also decides the packet identifier.
        sequence: u64,
        /// The entry.
        delivery: DeliveryRecord,
        /// The message's number: entries of several queues with the same number share it.
        message: MessageKey,
        /// The message.
        body: Arc<Message>,
    },
    /// The client has a QoS 2 message: only PUBREL is owed, and the entry needs its message no
    /// more. Nothing, if there is no such entry.
    ReleaseDelivery {
        /// Whose queue.
        session: SessionKey,
        /// Position in the queue.
        sequence: u64,
    },
    /// Removes one entry of a session's queue.
    RemoveDelivery {
        /// Whose queue.
        session: SessionKey,
        /// Position in the queue.
        sequence: u64,
    },
    /// Remembers that a QoS 2 packet identifier was received and not yet released.
    PutReceived {
        /// From which session.
        session: SessionKey,
        /// The publisher's packet identifier.
        packet_id: PacketId,
    },
    /// Forgets a received QoS 2 packet identifier.
    RemoveReceived {
        /// From which session.
        session: SessionKey,
        /// The publisher's packet identifier.
        packet_id: PacketId,
    },
    /// Creates or replaces the retained message of the message's topic.
    PutRetained {
        /// The message.
        body: Arc<Message>,
    },
    /// Removes the retained message of a topic.
    RemoveRetained {
        /// The topic.
        topic: mqtt::TopicNameBuf,
    },
}

/// What is remembered of a session besides its subscriptions and its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The client identifier.
    pub client_id: Arc<str>,
    /// Who owns it: nobody else may resume it.
    pub principal: Arc<str>,
    /// The protocol version last spoken.
    pub version: Version,
    /// Session Expiry Interval in seconds; `u32::MAX` never expires.
    pub expiry_seconds: u32,
    /// When the client went away; `None` while it is connected.
    pub disconnected_at: Option<Timestamp>,
    /// Entries of the queue before this position may have been sent (MQTT-3.3.1-1); only meant
    /// while the client is away.
    pub sent_below: u64,
    /// The session is over; what it was to get as a member of groups is still to be given to
    /// others.
    pub ended: bool,
    /// The will that is still to be published (MQTT 5, 3.1.2.5).
    pub will: Option<Box<WillRecord>>,
}

/// A message that a client left to be published when it vanishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillRecord {
    /// The message.
    pub message: Message,
    /// Will Delay Interval in seconds.
    pub delay_seconds: u32,
    /// Message Expiry Interval in seconds; it begins when the will is published.
    pub expiry_seconds: Option<u32>,
}

/// What a client asked for with one topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Quality of service and how messages are to come.
    pub options: SubscribeOptions,
    /// Subscription Identifier (MQTT 5, 3.8.2.1.2), 1 to 268,435,455.
    pub id: Option<NonZeroU32>,
}

/// One entry of a session's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Quality of service of this delivery, 1 or 2.
    pub qos: QoS,
    /// The RETAIN flag of this delivery.
    pub retain: bool,
    /// Whether the client has confirmed receipt with PUBREC, so that only PUBREL is owed.
    pub released: bool,
    /// Whether it came of a shared subscription, so that another member may get it in the end.
    pub shared: bool,
    /// Identifiers of the subscriptions that it came of, at most [`IDS_MAX`]; of a shared one also
    /// the mark of its group, and of one that a topic rule limits its [`Class`]: numbers above
    /// every identifier.
    pub ids: Vec<u32>,
}

/// Set in the mark of a group. Subscription identifiers have 28 bits (MQTT 5, 3.8.2.1.2).
pub(crate) const GROUP: u32 = 1 << 28;
/// Set in the number of a class, where [`GROUP`] is not.
pub(crate) const CLASS: u32 = 1 << 29;

/// The class among the numbers of a queue entry, if the entry belongs to one.
#[must_use]
pub fn class_of(ids: &[u32]) -> Option<Class> {
    let class = ids.iter().rev().find(|id| *id & (GROUP | CLASS) == CLASS)?;
    NonZeroU32::new(*class).map(Class)
}

impl DeliveryRecord {
    /// What it counts for, with a message of `weight` bytes.
    pub(crate) fn load(&self, weight: usize) -> Load {
        Load { weight, shared: self.shared, class: class_of(&self.ids) }
    }
}

/// Subscription identifiers that are kept with one queue entry: what fits one record of the
/// store. A client with more overlapping subscriptions gets the first of them after a restart.
pub const IDS_MAX: usize = 900;

/// A run of ops to make durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The ops, in order. None, when only the sync of earlier ones is wanted.
    pub ops: Vec<Op>,
    /// Position of the last of them: what to report as durable afterwards.
    pub upto: Lsn,
    /// Bytes that the ops weigh in memory, near enough for budgets.
    pub weight: usize,
    /// How soon it must survive a power cut.
    pub urgency: Urgency,
}

/// How soon a commit must survive a power cut. That it survives the end of the process is always
/// due at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Whenever the operating system writes it.
    #[default]
    Whenever,
    /// Within a time that the store is configured with, about a second.
    Soon,
    /// Before it is reported: an acknowledgement waits.
    Now,
}

/// Asks for entries of a session's queue that are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Whose queue.
    pub session: SessionKey,
    /// The first position wanted.
    pub from: u64,
    /// Entries wanted at most; at least 1.
    pub max_entries: usize,
    /// Bytes of messages wanted at most; the first entry comes however large it is.
    pub max_bytes: usize,
    /// Which entries are wanted.
    pub wanted: Wanted,
}

/// Which entries a [`Read`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All, with their messages.
    All,
    /// Those that have expired by then, without their messages.
    ExpiredBy(Timestamp),
    /// Those of a class, without their messages.
    OfClass(Class),
}

impl Wanted {
    /// Whether messages are wanted too.
    #[must_use]
    pub fn with_messages(self) -> bool {
        self == Self::All
    }

    /// Whether an entry that expires then and has these numbers is wanted.
    #[must_use]
    pub fn takes(self, expires: Option<Timestamp>, ids: &[u32]) -> bool {
        match self {
            Self::All => true,
            Self::ExpiredBy(by) => expires.is_some_and(|at| at <= by),
            Self::OfClass(class) => class_of(ids) == Some(class),
        }
    }
}

/// What a [`Read`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries, by ascending sequence.
    pub entries: Vec<StoredDelivery>,
    /// Everything before this position was looked at; `None` when nothing lies behind.
    pub next: Option<u64>,
    /// When the first of the entries expires that were looked at and are not wanted.
    pub first_expiry: Option<Timestamp>,
}

/// One entry of a session's queue, as it was found on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDelivery {
    /// Position in the queue.
    pub sequence: u64,
    /// The entry.
    pub delivery: DeliveryRecord,
    /// [`Message::weight`] of the message, 0 of one that is released.
    pub weight: usize,
    /// The message. `None` if the entry is released, if it was not asked for, or if it is
    /// damaged: then the entry is of no use.
    pub body: Option<Arc<Message>>,
}

/// Everything that was durable when the gateway stopped, but for the queues themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The sessions, by key.
    pub sessions: Vec<StoredSession>,
    /// The retained messages, by topic.
    pub retained: Vec<Arc<Message>>,
    /// A number above that of every session ever stored.
    pub next_session: u32,
}

/// One session of a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// Its number.
    pub key: SessionKey,
    /// Its record.
    pub record: SessionRecord,
    /// Its subscriptions, by filter.
    pub subscriptions: Vec<(TopicFilterBuf, Subscription)>,
    /// What its queue adds up to.
    pub queue: QueueSummary,
    /// Received and unreleased QoS 2 packet identifiers, ascending.
    pub received: Vec<PacketId>,
}

/// What a session's queue on disk adds up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSummary {
    /// Position of the first entry; 0 if there is none.
    pub first: u64,
    /// A position above that of every entry; 0 if there is none.
    pub next: u64,
    /// Entries.
    pub count: usize,
    /// Bytes of their messages, each as [`Message::weight`]; those of released entries are 0.
    pub weight: usize,
    /// Entries that came of shared subscriptions.
    pub shared: usize,
    /// Entries of each class, and bytes of their messages.
    pub classes: BTreeMap<Class, Sum>,
    /// When the first of them expires.
    pub first_expiry: Option<Timestamp>,
}

impl QueueSummary {
    /// Counts an entry with these numbers for its class, if it has one.
    pub fn classify(&mut self, ids: &[u32], weight: usize) {
        if let Some(class) = class_of(ids) {
            let sum = self.classes.entry(class).or_default();
            sum.count += 1;
            sum.weight += weight;
        }
    }
}
