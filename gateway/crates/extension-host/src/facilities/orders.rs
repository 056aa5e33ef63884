use std::fmt;
use std::sync::Arc;

use mqtt::{MessagePropertiesBuf, QoS, ReasonCode, TopicFilterBuf, TopicName};

use crate::stats::Counters;

/// Bytes of the payload of a message at most.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// Takes what an extension wants done to clients and messages, and has it done later.
pub trait Orders: fmt::Debug + Send + Sync {
    /// Checks an order against the operator's grant and takes it. Waits for nothing. Who carries it out later tells the
    /// receipt if that is not possible.
    ///
    /// # Errors
    /// Why it was not taken.
    fn give(&self, order: Order, receipt: Receipt) -> Result<(), OrderFault>;

    /// Checks an order and takes nothing.
    ///
    /// # Errors
    /// Why it would not be taken.
    fn check(&self, order: &Order) -> Result<(), OrderFault>;
}

/// Goes with an order that was taken.
#[derive(Clone, Debug, Default)]
pub struct Receipt(Arc<Counters>);

impl Receipt {
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        Self(Arc::clone(counters))
    }

    /// The order could not be carried out, which the extension is not told any more.
    pub fn undone(&self) {
        self.0.orders_undone.count();
    }
}

/// What an extension wants done.
#[derive(Clone, Debug)]
pub enum Order {
    /// To publish a message.
    Publish(Message),
    /// To disconnect a client.
    Disconnect {
        /// Its identifier.
        client_id: String,
        /// A code that DISCONNECT of a server can carry.
        code: ReasonCode,
        /// Why.
        reason: Option<String>,
    },
    /// To give a client other permissions.
    ReplacePermissions {
        /// Its identifier.
        client_id: String,
        /// What it may do; the rules compile, and nothing is asked.
        permissions: auth::Permissions,
    },
}

/// A message of an extension.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it is published.
    pub topic: String,
    /// At most [`MAX_MESSAGE_BYTES`].
    pub payload: Vec<u8>,
    /// How often it is to be delivered.
    pub qos: QoS,
    /// Whether it is to be kept.
    pub retain: bool,
    /// MIME type of the payload.
    pub content_type: Option<String>,
    /// Names and values.
    pub user_properties: Vec<(String, String)>,
    /// Seconds for which it is of interest.
    pub expiry_seconds: Option<u32>,
}

impl Message {
    /// Its properties, as packets carry them.
    ///
    /// # Errors
    /// One of them is none that a packet can carry.
    pub fn properties(&self) -> Result<MessagePropertiesBuf, String> {
        let built = match &self.content_type {
            Some(text) => MessagePropertiesBuf::default().content_type(text),
            None => Ok(MessagePropertiesBuf::default()),
        };
        let mut user = self.user_properties.iter();
        let built = built.and_then(|built| user.try_fold(built, |built, (n, v)| built.user(n, v)));
        built.map_err(|error| error.to_string())
    }
}

/// Which orders an operator grants an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderGrant {
    /// The extension.
    pub extension: Arc<str>,
    /// Topics that it may publish to.
    pub publish: Vec<TopicFilterBuf>,
    /// Whether it may disconnect clients.
    pub disconnect: bool,
    /// Whether it may replace permissions.
    pub permissions: bool,
}

impl OrderGrant {
    /// Whether an order makes sense and is granted.
    ///
    /// # Errors
    /// Why not; what is not granted is said with the line that would grant it.
    pub fn check(&self, order: &Order) -> Result<(), OrderFault> {
        match order {
            Order::Publish(message) => {
                let topic = TopicName::new(&message.topic)
                    .map_err(|error| OrderFault::Invalid(error.to_string()))?;
                message.properties().map_err(OrderFault::Invalid)?;
                match self.publish.iter().any(|f| f.as_filter().matches(topic)) {
                    true => Ok(()),
                    false => self.lacks("publish", &format!("[{:?}]", message.topic)),
                }
            }
            Order::Disconnect { .. } if !self.disconnect => self.lacks("disconnect", "true"),
            Order::ReplacePermissions { .. } if !self.permissions => {
                self.lacks("permissions", "true")
            }
            Order::Disconnect { .. } | Order::ReplacePermissions { .. } => Ok(()),
        }
    }

    /// What is missing, as a sentence.
    fn lacks(&self, key: &str, value: &str) -> Result<(), OrderFault> {
        let name = &self.extension;
        Err(OrderFault::NotGranted(format!(
            "[extensions.{name}.broker] in gateway.toml does not grant it; add {key} = {value} if it should"
        )))
    }
}

/// Shows no payload.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// Why an order was not taken, each with a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderFault {
    /// It is outside of the grant.
    NotGranted(String),
    /// It makes no sense.
    Invalid(String),
    /// Too many orders.
    Busy(String),
}
