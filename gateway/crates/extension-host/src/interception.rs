//! Messages before interceptors: what they are shown, and what they make of it.

use mqtt::{QoS, ReasonCode, TopicFilterBuf, TopicNameBuf};

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
