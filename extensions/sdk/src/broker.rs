//! What the extension does to clients and messages besides answering hooks, as far as `[extensions.NAME.broker]` allows
//! it. Needs the grant `broker`.
//!
//! Orders are taken at once and carried out soon after, in their order.
//!
//! ```no_run
//! use portcullis_extension::{broker, reason};
//!
//! # fn stolen() -> Result<(), broker::OrderError> {
//! broker::publish(broker::Message::new("alarms/theft", "device-7"))?;
//! broker::disconnect("device-7", reason::NOT_AUTHORIZED, "reported as stolen")
//! # }
//! ```

use crate::bindings::portcullis::gateway::broker as host;
use crate::{HookError, PermissionSet, Qos};
pub use host::{Message, OrderError};

/// Publishes as the extension itself.
///
/// # Errors
/// Why it is not taken.
pub fn publish(message: Message) -> Result<(), OrderError> {
    host::publish(&message)
}

/// Disconnects a client; `code` is 0x80 or above (see [`reason`](crate::reason)).
///
/// # Errors
/// Why it is not taken.
pub fn disconnect(client_id: &str, code: u8, why: &str) -> Result<(), OrderError> {
    host::disconnect(client_id, code, Some(why))
}

/// Gives a client another permission set until it connects or authenticates again: at once, and for its subscriptions too.
///
/// # Errors
/// Why it is not taken.
pub fn replace_permissions(client_id: &str, permissions: &PermissionSet) -> Result<(), OrderError> {
    host::replace_permissions(client_id, permissions)
}

impl Message {
    /// A message of QoS 0 that is not retained.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::AtMostOnce,
            retain: false,
            content_type: None,
            user_properties: Vec::new(),
            expiry_seconds: None,
        }
    }

    /// With this QoS.
    #[must_use]
    pub fn qos(self, qos: Qos) -> Self {
        Self { qos, ..self }
    }

    /// To be kept for later subscribers.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }
}

impl OrderError {
    /// A sentence for the log.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::NotGranted(why)
            | Self::Invalid(why)
            | Self::Busy(why)
            | Self::Other((_, why)) => why,
        }
    }
}

/// What a hook answers that cannot go on without it.
impl From<OrderError> for HookError {
    fn from(error: OrderError) -> Self {
        let why = error.why().to_owned();
        match error {
            OrderError::NotGranted(_) | OrderError::Invalid(_) => Self::Internal(why),
            OrderError::Busy(_) | OrderError::Other(_) => Self::Unavailable(why),
        }
    }
}
