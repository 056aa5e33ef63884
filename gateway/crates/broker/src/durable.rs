//! What the broker wants on disk, as values.
//!
//! The broker numbers every [`Op`] with a log sequence number. Whoever keeps the
//! ops tells the broker how far they are durable, and only then do the
//! acknowledgements that waited for them leave. Applying a prefix of the ops must
//! always give a state that the broker can start from.

use std::sync::Arc;

use std::num::NonZeroU32;

use mqtt::{PacketId, QoS, SubscribeOptions, TopicFilterBuf, Version};
use session::{Message, Timestamp};

/// Number of a durable session, unique while its record exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub u32);

/// Number of a stored message, never used twice.
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
    /// Stores a message once, however many queues will name it.
    PutMessage {
        /// Its number.
        message: MessageKey,
        /// The message.
        body: Arc<Message>,
    },
    /// Removes a message that no queue names any more.
    RemoveMessage {
        /// Its number.
        message: MessageKey,
    },
    /// Creates or replaces one entry of a session's queue.
    PutDelivery {
        /// Whose queue.
        session: SessionKey,
        /// Position in the queue; also decides the packet identifier.
        sequence: u64,
        /// The entry.
        delivery: DeliveryRecord,
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
    /// The stored message.
    pub message: MessageKey,
    /// Quality of service of this delivery, 1 or 2.
    pub qos: QoS,
    /// The RETAIN flag of this delivery.
    pub retain: bool,
    /// Whether the client has confirmed receipt with PUBREC, so that only PUBREL is owed.
    pub released: bool,
    /// Whether it came of a shared subscription, so that another member may get it in the end.
    pub shared: bool,
    /// Identifiers of the subscriptions that it came of, at most [`IDS_MAX`].
    pub ids: Vec<u32>,
}

/// Subscription identifiers that are kept with one queue entry: what fits one record of the
/// store. A client with more overlapping subscriptions gets the first of them after a restart.
pub const IDS_MAX: usize = 900;

/// A run of ops to make durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The ops, in order.
    pub ops: Vec<Op>,
    /// Position of the last of them: what to report as durable afterwards.
    pub upto: Lsn,
    /// Bytes that the ops weigh in memory, near enough for budgets.
    pub weight: usize,
}

/// Everything that was durable when the gateway stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The sessions, by key.
    pub sessions: Vec<StoredSession>,
    /// The messages that queues name, by key.
    pub messages: Vec<(MessageKey, Arc<Message>)>,
    /// The retained messages, by topic.
    pub retained: Vec<Arc<Message>>,
    /// A number above that of every message ever stored.
    pub next_message: u64,
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
    /// Its queue, by ascending sequence.
    pub deliveries: Vec<(u64, DeliveryRecord)>,
    /// Received and unreleased QoS 2 packet identifiers, ascending.
    pub received: Vec<PacketId>,
}
