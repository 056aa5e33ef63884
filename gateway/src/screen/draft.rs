//! Messages as the broker has them, as interceptors are shown them, and what changes make of them.

use broker::{Delivery, Draft};
use extension_host::{Intercepted, MessageChange};
use mqtt::{EncodeError, MessageProperties, MessagePropertiesBuf, QoS};

/// A publish as an interceptor is shown it.
pub(super) fn shown(draft: &Draft) -> Intercepted<'_> {
    Intercepted {
        topic: draft.topic.as_str(),
        qos: draft.qos,
        retain: draft.retain,
        payload: &draft.payload,
        expiry_seconds: draft.expiry_seconds,
        ..described(&draft.properties)
    }
}

/// A delivery as an interceptor is shown it.
pub(super) fn delivered(delivery: &Delivery) -> Intercepted<'_> {
    let message = &delivery.message;
    Intercepted {
        topic: message.topic.as_str(),
        qos: delivery.qos,
        retain: delivery.retain,
        payload: &message.payload,
        expiry_seconds: delivery.expiry_seconds,
        ..described(&message.properties)
    }
}

/// A delivery that is going to be another.
pub(super) fn of(delivery: &Delivery) -> Draft {
    let message = &delivery.message;
    Draft {
        topic: message.topic.clone(),
        payload: message.payload.clone(),
        qos: delivery.qos,
        retain: delivery.retain,
        properties: message.properties.clone(),
        expiry_seconds: delivery.expiry_seconds,
    }
}

/// A message with the properties that these bytes hold, and nothing else.
fn described(properties: &[u8]) -> Intercepted<'_> {
    let properties = MessageProperties::parse(properties).unwrap_or_default();
    Intercepted {
        topic: "",
        qos: QoS::AtMostOnce,
        retain: false,
        payload: &[],
        content_type: properties.content_type(),
        response_topic: properties.response_topic().map(|topic| topic.as_str()),
        correlation_data: properties.correlation_data(),
        user_properties: properties.user().iter().collect(),
        expiry_seconds: None,
    }
}

/// What a change makes of a message. The error is a sentence.
pub(super) fn changed(before: &Draft, change: MessageChange) -> Result<Draft, String> {
    let MessageChange {
        topic,
        qos,
        retain,
        payload,
        content_type,
        user_properties,
        expiry_seconds,
    } = change;
    let payload = payload.map_or_else(|| before.payload.clone(), Vec::into_boxed_slice);
    let properties = MessageProperties::parse(&before.properties).unwrap_or_default();
    let properties = rewritten(properties, &payload, content_type, user_properties)
        .map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    properties.as_ref().write_to(&mut bytes);
    Ok(Draft {
        topic: topic.unwrap_or_else(|| before.topic.clone()),
        payload,
        qos: qos.unwrap_or(before.qos),
        retain: retain.unwrap_or(before.retain),
        properties: bytes.into_boxed_slice(),
        expiry_seconds: expiry_seconds.or(before.expiry_seconds),
    })
}

/// The properties of what a message has become. What is no text any more does not say that it is.
fn rewritten(
    before: MessageProperties<'_>,
    payload: &[u8],
    content_type: Option<String>,
    user_properties: Option<Vec<(String, String)>>,
) -> Result<MessagePropertiesBuf, EncodeError> {
    let mut after = MessagePropertiesBuf::default();
    if before.payload_format_utf8() && before.admits(payload) {
        after = after.payload_format_utf8(true);
    }
    if let Some(text) = content_type.as_deref().or(before.content_type()) {
        after = after.content_type(text)?;
    }
    if let Some(topic) = before.response_topic() {
        after = after.response_topic(topic);
    }
    if let Some(data) = before.correlation_data() {
        after = after.correlation_data(data)?;
    }
    match user_properties {
        Some(stated) => {
            stated.iter().try_fold(after, |after, (name, value)| after.user(name, value))
        }
        None => {
            before.user().iter().try_fold(after, |after, (name, value)| after.user(name, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt::TopicName;

    use super::*;

    fn draft() -> Draft {
        let properties = MessagePropertiesBuf::default()
            .payload_format_utf8(true)
            .content_type("text/plain")
            .and_then(|p| p.response_topic(TopicName::new("back").unwrap()).correlation_data(b"7"))
            .and_then(|p| p.user("a", "1"))
            .and_then(|p| p.user("a", "2"))
            .unwrap();
        let mut bytes = Vec::new();
        properties.as_ref().write_to(&mut bytes);
        Draft {
            topic: TopicName::new("t").unwrap().to_owned(),
            payload: Box::from(*b"text"),
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: bytes.into(),
            expiry_seconds: Some(9),
        }
    }

    #[test]
    fn a_change_of_nothing_changes_nothing() {
        assert_eq!(changed(&draft(), MessageChange::default()), Ok(draft()));
    }

    #[test]
    fn what_is_changed_is_changed_and_the_rest_stays() {
        let change = MessageChange {
            payload: Some(b"other".to_vec()),
            user_properties: Some(vec![("b".to_owned(), "3".to_owned())]),
            retain: Some(false),
            ..MessageChange::default()
        };
        let after = changed(&draft(), change).unwrap();
        let shown = shown(&after);
        assert_eq!(
            (shown.payload, shown.retain, shown.qos),
            (&b"other"[..], false, QoS::AtLeastOnce)
        );
        assert_eq!(shown.user_properties, [("b", "3")]);
        assert_eq!((shown.content_type, shown.response_topic), (Some("text/plain"), Some("back")));
        assert_eq!((shown.correlation_data, shown.expiry_seconds), (Some(&b"7"[..]), Some(9)));
    }

    #[test]
    fn what_is_no_text_any_more_does_not_say_that_it_is() {
        let utf8 = |draft: &Draft| {
            MessageProperties::parse(&draft.properties).unwrap().payload_format_utf8()
        };
        let change = |payload: &[u8]| MessageChange {
            payload: Some(payload.to_vec()),
            ..MessageChange::default()
        };
        assert!(utf8(&changed(&draft(), change(b"text")).unwrap()));
        assert!(!utf8(&changed(&draft(), change(&[0xFF])).unwrap()));
    }
}
