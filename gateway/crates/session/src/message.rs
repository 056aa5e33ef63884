use mqtt::{MessageProperties, QoS, TopicNameBuf};

use crate::Timestamp;

/// An application message that must outlive the packet that brought it: it is
/// queued, in flight to a session that may come back, retained, or a will.
///
/// Shared behind an `Arc` by every session that waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub topic: TopicNameBuf,
    /// The application's bytes.
    pub payload: Box<[u8]>,
    /// Quality of service of the publication.
    pub qos: QoS,
    /// Whether the publisher asked for it to be retained.
    pub retain: bool,
    /// The properties that a server forwards unaltered (MQTT 5, 3.3.2.3), as wire bytes.
    pub properties: Box<[u8]>,
    /// When it ceases to be of interest (Message Expiry Interval, 3.3.2.3.3).
    pub expires: Option<Timestamp>,
}

impl Message {
    /// The forwardable properties, parsed.
    ///
    /// Bytes that do not parse (a record damaged on disk) count as no properties.
    #[must_use]
    pub fn properties(&self) -> MessageProperties<'_> {
        MessageProperties::parse(&self.properties).unwrap_or_default()
    }

    /// Bytes that this message occupies in memory, near enough for budgets.
    #[must_use]
    pub fn weight(&self) -> usize {
        Self::weight_of(self.topic.as_str().len(), self.properties.len(), self.payload.len())
    }

    /// The [`weight`](Self::weight) of a message of which these have so many bytes.
    #[must_use]
    pub fn weight_of(topic: usize, properties: usize, payload: usize) -> usize {
        const OVERHEAD: usize = 96;
        OVERHEAD + topic + properties + payload
    }

    /// Seconds left of its expiry interval at `now`; `None` when it does not expire,
    /// `Some(0)` when it has.
    #[must_use]
    pub fn remaining_seconds(&self, now: Timestamp) -> Option<u32> {
        let left = self.expires?.since(now);
        Some(u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX))
    }

    /// Whether its expiry interval has run out at `now`.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}
