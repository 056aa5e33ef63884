//! Messages on their way, and shorter ways to say what becomes of them.
#![cfg(any(feature = "publish-interceptor", feature = "delivery-interceptor"))]

#[cfg(any(feature = "publish-interceptor", feature = "delivery-interceptor"))]
use crate::{Client, Connection, Extension, HookError};
#[cfg(feature = "delivery-interceptor")]
use crate::{DeliveryAction, DeliveryChange};
#[cfg(feature = "publish-interceptor")]
use crate::{Denial, PublishAction, PublishChange, Qos};
use crate::{Interest, Message};

/// Looks at what clients publish, when it has been authorized and before anybody gets it.
///
/// A device that is to be heard in lower case only:
///
/// ```
/// use portcullis_extension::{
///     Client, Config, Connection, Extension, HookError, Interest, Message, PublishAction, PublishChange,
///     PublishInterceptor,
/// };
///
/// struct Calm;
///
/// impl Extension for Calm {
///     fn start(_: &Config) -> Result<Self, String> {
///         Ok(Self)
///     }
/// }
///
/// impl PublishInterceptor for Calm {
///     fn interest(&self) -> Interest {
///         Interest::of(["sirens/#"])
///     }
///
///     fn on_publish(
///         &self,
///         _: &Client,
///         _: &Connection,
///         message: Message,
///     ) -> Result<PublishAction, HookError> {
///         let calm = message.payload.to_ascii_lowercase();
///         Ok(PublishChange::new().payload(calm).into())
///     }
/// }
/// ```
#[cfg(feature = "publish-interceptor")]
pub trait PublishInterceptor: Extension {
    /// Which messages it is asked about. Asked once for each configuration.
    fn interest(&self) -> Interest;

    /// Called for each message once, however often its client repeats it on the wire.
    ///
    /// # Errors
    /// When the hook could not do its work. That is no answer: the message is refused.
    fn on_publish(
        &self,
        client: &Client,
        connection: &Connection,
        message: Message,
    ) -> Result<PublishAction, HookError>;
}

/// Looks at what one client is about to be sent.
#[cfg(feature = "delivery-interceptor")]
pub trait DeliveryInterceptor: Extension {
    /// Which messages it is asked about. Asked once for each configuration.
    fn interest(&self) -> Interest;

    /// Called when the message is about to be sent to `client`, and again each time that it is sent anew after a lost
    /// connection: answer the same then.
    ///
    /// # Errors
    /// When the hook could not do its work. That is no answer: the message is not sent.
    fn on_delivery(
        &self,
        client: &Client,
        connection: &Connection,
        message: Message,
    ) -> Result<DeliveryAction, HookError>;
}

impl Interest {
    /// Messages on topics that one of these filters matches, 1 to 64, with their whole payloads.
    #[must_use]
    pub fn of(filters: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { filters: filters.into_iter().map(Into::into).collect(), payload_bytes: u32::MAX }
    }

    /// The first bytes of payloads only; what is behind them is cut off, and costs nothing.
    #[must_use]
    pub fn payload_bytes(self, payload_bytes: u32) -> Self {
        Self { payload_bytes, ..self }
    }
}

impl Message {
    /// Whether its payload is there to the end; see [`Interest::payload_bytes`].
    #[must_use]
    pub fn is_whole(&self) -> bool {
        u32::try_from(self.payload.len()) == Ok(self.payload_size)
    }

    /// The payload as text; none if it is none, or was cut off inside a character.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.payload).ok()
    }

    /// The first value of a user property.
    #[must_use]
    pub fn user_property(&self, name: &str) -> Option<&str> {
        let found = self.user_properties.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[cfg(feature = "publish-interceptor")]
impl PublishAction {
    /// Refuses the message with `code` (see [`reason`](crate::reason)), one that PUBACK can carry; `why` is for the log.
    #[must_use]
    pub fn refuse(code: u8, why: impl Into<String>) -> Self {
        Self::Refuse(Denial::new(code, why))
    }
}

/// This one in the place of the message.
#[cfg(feature = "publish-interceptor")]
impl From<PublishChange> for PublishAction {
    fn from(change: PublishChange) -> Self {
        Self::Replace(vec![change])
    }
}

/// These in the place of the message, in their order: 1 to 16.
#[cfg(feature = "publish-interceptor")]
impl FromIterator<PublishChange> for PublishAction {
    fn from_iter<T: IntoIterator<Item = PublishChange>>(changes: T) -> Self {
        Self::Replace(changes.into_iter().collect())
    }
}

#[cfg(feature = "publish-interceptor")]
impl PublishChange {
    /// The message as it is.
    #[must_use]
    pub fn new() -> Self {
        Self {
            topic: None,
            qos: None,
            retain: None,
            payload: None,
            content_type: None,
            user_properties: None,
            expiry_seconds: None,
        }
    }

    /// On another topic.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..self }
    }

    /// With another QoS.
    #[must_use]
    pub fn qos(self, qos: Qos) -> Self {
        Self { qos: Some(qos), ..self }
    }

    /// To be retained, or not.
    #[must_use]
    pub fn retain(self, retain: bool) -> Self {
        Self { retain: Some(retain), ..self }
    }
}

#[cfg(feature = "publish-interceptor")]
impl Default for PublishChange {
    fn default() -> Self {
        Self::new()
    }
}

/// This in the place of the message.
#[cfg(feature = "delivery-interceptor")]
impl From<DeliveryChange> for DeliveryAction {
    fn from(change: DeliveryChange) -> Self {
        Self::Replace(change)
    }
}

#[cfg(feature = "delivery-interceptor")]
impl DeliveryChange {
    /// The message as it is.
    #[must_use]
    pub fn new() -> Self {
        Self {
            topic: None,
            payload: None,
            content_type: None,
            user_properties: None,
            expiry_seconds: None,
        }
    }

    /// On another topic.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..self }
    }
}

#[cfg(feature = "delivery-interceptor")]
impl Default for DeliveryChange {
    fn default() -> Self {
        Self::new()
    }
}

/// What both kinds of changes have.
macro_rules! parts {
    ($change:ty) => {
        impl $change {
            /// With this payload.
            #[must_use]
            pub fn payload(self, payload: impl Into<Vec<u8>>) -> Self {
                Self { payload: Some(payload.into()), ..self }
            }

            /// With this MIME type.
            #[must_use]
            pub fn content_type(self, content_type: impl Into<String>) -> Self {
                Self { content_type: Some(content_type.into()), ..self }
            }

            /// With these user properties and no others.
            #[must_use]
            pub fn user_properties(self, user_properties: Vec<(String, String)>) -> Self {
                Self { user_properties: Some(user_properties), ..self }
            }

            /// Of no use any more after so many seconds.
            #[must_use]
            pub fn expiry_seconds(self, expiry_seconds: u32) -> Self {
                Self { expiry_seconds: Some(expiry_seconds), ..self }
            }
        }
    };
}

#[cfg(feature = "publish-interceptor")]
parts!(PublishChange);
#[cfg(feature = "delivery-interceptor")]
parts!(DeliveryChange);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Qos;

    fn message(payload: &str, payload_size: u32) -> Message {
        Message {
            topic: "a/b".to_owned(),
            qos: Qos::AtLeastOnce,
            retain: false,
            payload: payload.into(),
            payload_size,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: vec![("site".to_owned(), "north".to_owned())],
            expiry_seconds: None,
        }
    }

    #[test]
    fn a_message_says_whether_it_is_whole() {
        assert!(message("four", 4).is_whole() && !message("four", 5).is_whole());
        assert_eq!(message("four", 4).text(), Some("four"));
        assert_eq!(message("", 0).user_property("site"), Some("north"));
        assert_eq!(message("", 0).user_property("Site"), None);
    }

    #[test]
    fn an_interest_is_in_whole_payloads_unless_it_says_otherwise() {
        let interest = Interest::of(["a/#", "b"]);
        assert_eq!((interest.filters.len(), interest.payload_bytes), (2, u32::MAX));
        assert_eq!(interest.payload_bytes(16).payload_bytes, 16);
    }

    #[cfg(feature = "publish-interceptor")]
    #[test]
    fn what_a_change_does_not_name_stays() {
        let change = PublishChange::new().topic("c").payload("x").retain(true);
        assert_eq!(change.topic.as_deref(), Some("c"));
        assert_eq!(
            (change.qos, change.retain, change.content_type.clone()),
            (None, Some(true), None)
        );
        assert!(matches!(change.clone().into(), PublishAction::Replace(all) if all == [change]));
        let two: PublishAction =
            ["1", "2"].map(|text| PublishChange::new().payload(text)).into_iter().collect();
        assert!(matches!(two, PublishAction::Replace(all) if all.len() == 2));
    }

    #[cfg(feature = "delivery-interceptor")]
    #[test]
    fn a_delivery_is_changed_for_one_client() {
        let change = DeliveryChange::new().payload("***").expiry_seconds(7);
        assert_eq!((change.topic.clone(), change.expiry_seconds), (None, Some(7)));
        assert!(
            matches!(change.into(), DeliveryAction::Replace(one) if one.payload == Some(b"***".to_vec()))
        );
    }
}
