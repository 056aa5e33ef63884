use std::fmt;

use mqtt::{QoS, ReasonCode};

/// Bytes of the payload of a message at most.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// Takes what an extension wants done to clients and messages, and has it done later.
pub trait Orders: fmt::Debug + Send + Sync {
    /// Checks an order against the operator's grant and takes it. Waits for nothing.
    ///
    /// # Errors
    /// Why it was not taken.
    fn give(&self, order: Order) -> Result<(), OrderFault>;

    /// Checks an order and takes nothing.
    ///
    /// # Errors
    /// Why it would not be taken.
    fn check(&self, order: &Order) -> Result<(), OrderFault>;
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
