use std::sync::Arc;

use mqtt::{QoS, ReasonCode, TopicFilterBuf};

use crate::durable::Read;
use crate::{Grounds, Limit, Outbox};

/// Names a connection; the shell chooses it and never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What the shell is to do.
#[derive(Debug)]
pub enum Effect {
    /// Bytes wait for this connection where none waited before.
    Wake(LinkId),
    /// Write `last`, then close this connection. The broker has let go of it.
    Close {
        /// Which connection.
        link: LinkId,
        /// The last bytes for it, a DISCONNECT at their end where the version has one.
        last: Outbox,
    },
    /// Read what waits on disk for a session, and give it to
    /// [`Broker::page_read`](crate::Broker::page_read).
    Read {
        /// Who reads.
        reader: Reader,
        /// What.
        read: Read,
    },
    /// Something that an operator may want to know.
    Event(Event),
}

/// Names a session that reads from its queue on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    pub(crate) session: u32,
    pub(crate) uid: u64,
}

/// Why a conversation ends: what the client hears, and what the operator reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The reason code of DISCONNECT (MQTT 5, 3.14.2.1).
    pub code: ReasonCode,
    /// One sentence: what was wrong, the value, the rule.
    pub why: String,
    /// The limit that was exceeded, for its metric.
    pub limit: Option<Limit>,
}

impl Closing {
    /// Pairs a reason code with its explanation.
    pub fn new(code: ReasonCode, why: impl Into<String>) -> Self {
        Self { code, why: why.into(), limit: None }
    }

    /// The same, because of a limit.
    #[must_use]
    pub fn because_of(self, limit: Limit) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

/// What a denied client wanted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish to a topic.
    Publish,
    /// Subscribe to a filter.
    Subscribe,
    /// Leave a will for a topic.
    Will,
    /// Receive a message that waited, on a topic.
    Receive,
}

/// Why a message reached nobody or one session less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// The session's queue is full (messages or bytes, or all queues together).
    QueueFull,
    /// A later message on the same topic took its place.
    Replaced,
    /// The packet is larger than the client accepts.
    TooLarge,
    /// Its expiry interval ran out.
    Expired,
    /// The client may not receive it any more.
    Denied,
    /// It was on disk and cannot be read any more.
    Damaged,
    /// An interceptor was to see it, and failed.
    NotReviewed,
}

/// An operator's view of what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client's CONNECT was accepted.
    Connected {
        /// The client identifier.
        client_id: Arc<str>,
        /// Who it is.
        principal: Arc<str>,
        /// Whether an earlier session goes on.
        session_present: bool,
        /// Whether the session is on disk.
        durable: bool,
    },
    /// A connected client proved again who it is, and its new grant counts.
    Reauthenticated {
        /// The client identifier.
        client_id: Arc<str>,
        /// Who it is.
        principal: Arc<str>,
    },
    /// A client has another permission set than the one that it came with.
    PermissionsReplaced {
        /// The client identifier.
        client_id: Arc<str>,
        /// Who it is.
        principal: Arc<str>,
    },
    /// A client has a subscription, or has it anew. Only with [`Settings::reports_subscriptions`].
    ///
    /// [`Settings::reports_subscriptions`]: crate::Settings::reports_subscriptions
    Subscribed {
        /// The client identifier.
        client_id: Arc<str>,
        /// Who it is.
        principal: Arc<str>,
        /// The filter, with its group if it is shared.
        filter: TopicFilterBuf,
        /// What was granted.
        qos: QoS,
    },
    /// A client has ended a subscription. Only with [`Settings::reports_subscriptions`].
    ///
    /// [`Settings::reports_subscriptions`]: crate::Settings::reports_subscriptions
    Unsubscribed {
        /// The client identifier.
        client_id: Arc<str>,
        /// Who it is.
        principal: Arc<str>,
        /// The filter, with its group if it was shared.
        filter: TopicFilterBuf,
    },
    /// A connection ended.
    Disconnected {
        /// The client identifier.
        client_id: Arc<str>,
        /// Who it was.
        principal: Arc<str>,
        /// Why.
        closing: Closing,
    },
    /// A client may not do what it wanted.
    Denied {
        /// The client identifier.
        client_id: Arc<str>,
        /// Who it is.
        principal: Arc<str>,
        /// What it wanted.
        action: Action,
        /// The topic or filter.
        topic: Arc<str>,
        /// What the client hears, if it hears of it.
        code: Option<ReasonCode>,
        /// Extension, rule or reason.
        decision: Box<Grounds>,
    },
    /// A message was not queued for, or delivered to, a session.
    Dropped {
        /// The client identifier of the session.
        client_id: Arc<str>,
        /// Whose session it is.
        principal: Arc<str>,
        /// Why.
        cause: DropCause,
    },
    /// A session is gone with everything that waited for it.
    SessionExpired {
        /// The client identifier.
        client_id: Arc<str>,
        /// Whose session it was.
        principal: Arc<str>,
        /// Messages that nobody will get.
        messages: usize,
    },
}
