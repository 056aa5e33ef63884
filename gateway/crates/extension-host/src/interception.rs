//! Messages before interceptors: what they are shown, and what they make of it.

use mqtt::{QoS, ReasonCode, TopicFilterBuf, TopicName, TopicNameBuf};

/// Messages that may come of one publish at most.
pub const MAX_REPLACEMENTS: usize = 16;

/// Which messages an interceptor is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Those whose topics one of these matches; 1 to [`MAX_INTEREST_FILTERS`].
    pub filters: Vec<TopicFilterBuf>,
    /// Bytes of the payload that it is given at most.
    pub payload_bytes: usize,
}

impl Interest {
    /// Whether a message on this topic is one of them.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        // What is no topic is nothing that could be published; if it were, somebody should look at it.
        TopicName::new(topic).map_or(true, |topic| {
            self.filters.iter().any(|filter| filter.as_filter().matches(topic))
        })
    }

    /// What one of the two wants to see.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut filters = self.filters.clone();
        filters.extend(other.filters.iter().filter(|it| !self.filters.contains(it)).cloned());
        Self { filters, payload_bytes: self.payload_bytes.max(other.payload_bytes) }
    }
}

/// Topic filters of one [`Interest`] at most.
pub const MAX_INTEREST_FILTERS: usize = 64;

/// A message as an interceptor is shown it.
#[derive(Clone, Debug)]
pub struct Intercepted<'a> {
    /// Topic name, aliases resolved.
    pub topic: &'a str,
    /// Its QoS; of a delivery, that of the delivery.
    pub qos: QoS,
    /// Its retain flag.
    pub retain: bool,
    /// The whole payload; the host cuts it to the interest of who is asked.
    pub payload: &'a [u8],
    /// MIME type of the payload.
    pub content_type: Option<&'a str>,
    /// Response Topic (MQTT 5.0, 3.3.2.3.5).
    pub response_topic: Option<&'a str>,
    /// Correlation Data (MQTT 5.0, 3.3.2.3.6).
    pub correlation_data: Option<&'a [u8]>,
    /// Names and values in their order.
    pub user_properties: Vec<(&'a str, &'a str)>,
    /// Seconds after which it is of no use any more.
    pub expiry_seconds: Option<u32>,
}

/// What a publish interceptor makes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishAction {
    /// It goes on as it is.
    Pass,
    /// It is acknowledged, and nobody gets it.
    Discard,
    /// Its client hears that it is refused.
    Refuse {
        /// A code that PUBACK may carry.
        code: ReasonCode,
        /// For the log; at most [`crate::MAX_REASON_BYTES`], no control characters.
        reason: Option<String>,
    },
    /// These go on in its place, in their order; 1 to [`MAX_REPLACEMENTS`].
    Replace(Vec<MessageChange>),
}

/// What a delivery interceptor makes of a message for one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryAction {
    /// It is sent as it is.
    Pass,
    /// It is not sent, and counts as delivered.
    Discard,
    /// This is sent in its place; without another QoS or retain flag.
    Replace(Box<MessageChange>),
}

/// What is different in the message that takes the place of another. `None` leaves a part as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageChange {
    /// A valid topic name. Whether the operator allows it is for the caller to see.
    pub topic: Option<TopicNameBuf>,
    /// Its QoS.
    pub qos: Option<QoS>,
    /// Its retain flag.
    pub retain: Option<bool>,
    /// The whole payload.
    pub payload: Option<Vec<u8>>,
    /// MIME type of the payload; without U+0000.
    pub content_type: Option<String>,
    /// In the place of all that there are; without U+0000, each at most 65,535 bytes.
    pub user_properties: Option<Vec<(String, String)>>,
    /// Seconds after which it is of no use any more.
    pub expiry_seconds: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest(filters: &[&str], payload_bytes: usize) -> Interest {
        let filter = |text: &&str| TopicFilterBuf::new(text).unwrap();
        Interest { filters: filters.iter().map(filter).collect(), payload_bytes }
    }

    #[test]
    fn an_interest_is_in_what_one_of_its_filters_matches() {
        let interest = interest(&["a/#", "+/b"], 0);
        for (topic, matches) in [("a", true), ("a/x/y", true), ("x/b", true), ("x/c", false)] {
            assert_eq!(interest.matches(topic), matches, "{topic}");
        }
    }

    #[test]
    fn two_interests_together_have_each_filter_once_and_the_larger_payload() {
        let both = interest(&["a/#", "b"], 10).union(&interest(&["b", "c"], 20));
        assert_eq!(both, interest(&["a/#", "b", "c"], 20));
    }
}
