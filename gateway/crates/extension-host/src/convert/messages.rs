//! What interceptors make of messages.

use mqtt::{PacketKind, QoS, TopicNameBuf, limits};

use super::{from_qos, reason, refusal};
use crate::bindings::exports::portcullis::gateway::{delivery_interceptor, publish_interceptor};
use crate::interception::{DeliveryAction, MAX_REPLACEMENTS, MessageChange, PublishAction};

pub(crate) fn publish_action(given: publish_interceptor::Action) -> Result<PublishAction, String> {
    use publish_interceptor::Action as Given;
    Ok(match given {
        Given::Pass => PublishAction::Pass,
        Given::Discard => PublishAction::Discard,
        Given::Refuse(denial) => PublishAction::Refuse {
            code: refusal(PacketKind::PubAck, denial.code)?,
            reason: denial.reason.as_deref().map(reason),
        },
        Given::Replace(changes) => {
            let count = changes.len();
            if count == 0 || count > MAX_REPLACEMENTS {
                return Err(format!(
                    "{count} messages in the place of one; it takes 1 to {MAX_REPLACEMENTS}"
                ));
            }
            let change = |it: publish_interceptor::Change| {
                let change = Change {
                    topic: it.topic,
                    payload: it.payload,
                    content_type: it.content_type,
                    user_properties: it.user_properties,
                    expiry_seconds: it.expiry_seconds,
                };
                change.checked(it.qos.map(from_qos), it.retain)
            };
            PublishAction::Replace(changes.into_iter().map(change).collect::<Result<_, _>>()?)
        }
    })
}

pub(crate) fn delivery_action(
    given: delivery_interceptor::Action,
) -> Result<DeliveryAction, String> {
    use delivery_interceptor::Action as Given;
    Ok(match given {
        Given::Pass => DeliveryAction::Pass,
        Given::Discard => DeliveryAction::Discard,
        Given::Replace(it) => {
            let change = Change {
                topic: it.topic,
                payload: it.payload,
                content_type: it.content_type,
                user_properties: it.user_properties,
                expiry_seconds: it.expiry_seconds,
            };
            DeliveryAction::Replace(Box::new(change.checked(None, None)?))
        }
    })
}

/// What both kinds of changes have, unchecked.
struct Change {
    topic: Option<String>,
    payload: Option<Vec<u8>>,
    content_type: Option<String>,
    user_properties: Option<Vec<(String, String)>>,
    expiry_seconds: Option<u32>,
}

impl Change {
    fn checked(self, qos: Option<QoS>, retain: Option<bool>) -> Result<MessageChange, String> {
        let topic = self.topic.map(|topic| {
            TopicNameBuf::new(&topic).map_err(|error| {
                format!("a message to {:?}, which is no topic: {error}", reason(&topic))
            })
        });
        self.content_type.as_deref().map_or(Ok(()), |text| check("a content type", text))?;
        for (name, value) in self.user_properties.iter().flatten() {
            check("the name of a user property", name)?;
            check("the value of a user property", value)?;
        }
        Ok(MessageChange {
            topic: topic.transpose()?,
            qos,
            retain,
            payload: self.payload,
            content_type: self.content_type,
            user_properties: self.user_properties,
            expiry_seconds: self.expiry_seconds,
        })
    }
}

/// Whether MQTT has room for a text, and allows it (1.5.4).
fn check(what: &str, text: &str) -> Result<(), String> {
    if text.len() > limits::STRING_MAX {
        return Err(format!(
            "{what} of {} bytes; MQTT has room for {}",
            text.len(),
            limits::STRING_MAX
        ));
    }
    match text.contains('\0') {
        true => Err(format!("{what} contains U+0000, which no text of MQTT may")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Change {
        Change {
            topic: None,
            payload: None,
            content_type: None,
            user_properties: None,
            expiry_seconds: None,
        }
    }

    #[test]
    fn a_change_is_something_that_can_be_published() {
        let text = |bytes: usize| Some("x".repeat(bytes));
        let good = Change {
            topic: Some("a/b".to_owned()),
            payload: Some(vec![0]),
            content_type: text(limits::STRING_MAX),
            user_properties: Some(vec![(String::new(), "v".to_owned())]),
            expiry_seconds: Some(0),
        };
        let change = good.checked(Some(QoS::AtMostOnce), Some(true)).expect("a message");
        assert_eq!(change.topic.as_deref(), Some("a/b"));
        assert_eq!((change.qos, change.retain), (Some(QoS::AtMostOnce), Some(true)));
        let pair = |name: &str, value: &str| Some(vec![(name.to_owned(), value.to_owned())]);
        let long = "x".repeat(limits::STRING_MAX + 1);
        for (bad, why) in [
            (Change { topic: Some("a/+".to_owned()), ..nothing() }, "no topic"),
            (Change { topic: Some(String::new()), ..nothing() }, "no topic"),
            (Change { content_type: text(limits::STRING_MAX + 1), ..nothing() }, "65536 bytes"),
            (Change { content_type: Some("a\0".to_owned()), ..nothing() }, "U+0000"),
            (Change { user_properties: pair("a\0", ""), ..nothing() }, "name of a user property"),
            (Change { user_properties: pair("", &long), ..nothing() }, "value of a user property"),
        ] {
            let error = bad.checked(None, None).expect_err("no message");
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
