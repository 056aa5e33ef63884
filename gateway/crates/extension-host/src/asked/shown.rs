//! A message that was shown to an interceptor.

use std::fmt;

use mqtt::QoS;

use crate::interception::Intercepted;
use crate::interceptors::Exhibit;

/// A message, as much of it as anybody wanted to see.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// The payload, or its beginning.
    pub(crate) payload: Vec<u8>,
    /// Bytes of the whole payload.
    pub(crate) payload_size: usize,
    pub(crate) content_type: Option<String>,
    pub(crate) response_topic: Option<String>,
    pub(crate) correlation_data: Option<Vec<u8>>,
    pub(crate) user_properties: Vec<(String, String)>,
    pub(crate) expiry_seconds: Option<u32>,
}

impl Shown {
    /// A message with at most so many bytes of its payload.
    pub(crate) fn of(message: &Intercepted<'_>, payload_bytes: usize) -> Self {
        let text = |text: &Option<&str>| text.map(str::to_owned);
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            topic: message.topic.to_owned(),
            qos: message.qos,
            retain: message.retain,
            payload: message.payload.get(..payload_bytes).unwrap_or(message.payload).to_vec(),
            payload_size: message.payload.len(),
            content_type: text(&message.content_type),
            response_topic: text(&message.response_topic),
            correlation_data: message.correlation_data.map(<[u8]>::to_vec),
            user_properties: message.user_properties.iter().map(pair).collect(),
            expiry_seconds: message.expiry_seconds,
        }
    }

    /// Shows it again.
    pub(crate) fn show<R>(&self, to: impl FnOnce(Exhibit<'_>) -> R) -> R {
        let properties = self.user_properties.iter();
        let message = Intercepted {
            topic: &self.topic,
            qos: self.qos,
            retain: self.retain,
            payload: &self.payload,
            content_type: self.content_type.as_deref(),
            response_topic: self.response_topic.as_deref(),
            correlation_data: self.correlation_data.as_deref(),
            user_properties: properties.map(|(name, value)| (&**name, &**value)).collect(),
            expiry_seconds: self.expiry_seconds,
        };
        to(Exhibit { message: &message, payload_size: self.payload_size })
    }
}

/// Leaves out what may be secret.
impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown")
            .field("topic", &self.topic)
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("payload_size", &self.payload_size)
            .field("content_type", &self.content_type)
            .field("response_topic", &self.response_topic)
            .field("user_properties", &self.user_properties.len())
            .field("expiry_seconds", &self.expiry_seconds)
            .finish_non_exhaustive()
    }
}
