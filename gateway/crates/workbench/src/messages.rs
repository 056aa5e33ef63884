//! A message on its way past one extension.

use config::fixture::{Message, Opinion};
use extension_host::{DeliveryAction, Intercepted, MessageChange, PublishAction};
use mqtt::{TopicFilterBuf, TopicName};

use crate::arrival::shown;
use crate::questions::Answer;
use crate::visit::{Standing, Visit};

impl Visit<'_> {
    /// What the extension makes of what the client publishes.
    pub(crate) fn intercept_publish(&self, standing: &Standing, message: &Message) -> Answer {
        if !covers(&self.grant.publish, &message.topic) {
            return Answer::not_shown();
        }
        let what = intercepted(message);
        let Standing { identity, .. } = standing;
        match self.extension.intercept_publish(identity, &self.connecting, &what).result {
            Ok(PublishAction::Pass) => Answer::treated(Opinion::Pass),
            Ok(PublishAction::Discard) => Answer::treated(Opinion::Discard),
            Ok(PublishAction::Refuse { code, reason }) => {
                Answer::refused(code.as_u8(), reason.unwrap_or_default())
            }
            Ok(PublishAction::Replace(changes)) => self.replaced(message, &changes),
            Err(failure) => Answer::fail(&failure),
        }
    }

    /// What the extension makes of what the client is about to be sent.
    pub(crate) fn intercept_delivery(&self, standing: &Standing, message: &Message) -> Answer {
        if !covers(&self.grant.deliver, &message.topic) {
            return Answer::not_shown();
        }
        let what = intercepted(message);
        let Standing { identity, .. } = standing;
        match self.extension.intercept_delivery(identity, &self.connecting, &what).result {
            Ok(DeliveryAction::Pass) => Answer::treated(Opinion::Pass),
            Ok(DeliveryAction::Discard) => Answer::treated(Opinion::Discard),
            Ok(DeliveryAction::Replace(change)) => {
                self.replaced(message, std::slice::from_ref(&*change))
            }
            Err(failure) => Answer::fail(&failure),
        }
    }

    /// Whether the operator lets it move messages where it does.
    fn replaced(&self, before: &Message, changes: &[MessageChange]) -> Answer {
        let topics = changes.iter().filter_map(|change| change.topic.as_ref());
        let mut moved = topics.map(|topic| topic.as_str()).filter(|topic| *topic != before.topic);
        match moved.find(|topic| !covers(&self.grant.to, topic)) {
            Some(topic) => Answer::broken(format!(
                "it may not move messages to \"{topic}\"; add that to messages.to of [extension] if it should"
            )),
            None => Answer::replaced(changes.iter().map(line).collect()),
        }
    }
}

fn covers(filters: &[TopicFilterBuf], topic: &str) -> bool {
    TopicName::new(topic)
        .is_ok_and(|topic| filters.iter().any(|filter| filter.as_filter().matches(topic)))
}

fn intercepted(message: &Message) -> Intercepted<'_> {
    Intercepted {
        topic: &message.topic,
        qos: message.qos,
        retain: message.retain,
        payload: &message.payload,
        content_type: message.content_type.as_deref(),
        response_topic: message.response_topic.as_deref(),
        correlation_data: message.correlation_data.as_deref(),
        user_properties: message.user_properties.iter().map(|(n, v)| (&**n, &**v)).collect(),
        expiry_seconds: message.expiry_seconds,
    }
}

/// What is different in a message that takes the place of another.
fn line(change: &MessageChange) -> String {
    let mut parts = Vec::new();
    if let Some(topic) = &change.topic {
        parts.push(format!("topic {}", topic.as_str()));
    }
    if let Some(qos) = change.qos {
        parts.push(format!("qos {}", qos as u8));
    }
    if let Some(retain) = change.retain {
        parts.push(format!("retain {retain}"));
    }
    if let Some(content_type) = &change.content_type {
        parts.push(format!("content-type {content_type}"));
    }
    if let Some(properties) = &change.user_properties {
        let pairs: Vec<_> =
            properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        parts.push(format!("user-properties {}", pairs.join(" ")));
    }
    if let Some(seconds) = change.expiry_seconds {
        parts.push(format!("expiry {seconds}s"));
    }
    if let Some(payload) = &change.payload {
        parts.push(format!("payload {}", shown(payload)));
    }
    match parts.is_empty() {
        true => "unchanged".to_owned(),
        false => parts.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use mqtt::{QoS, TopicNameBuf};

    use super::*;

    #[test]
    fn a_line_says_what_is_different() {
        assert_eq!(line(&MessageChange::default()), "unchanged");
        let change = MessageChange {
            topic: Some(TopicNameBuf::new("a/b").unwrap()),
            qos: Some(QoS::AtMostOnce),
            retain: Some(true),
            payload: Some(b"x".to_vec()),
            content_type: Some("text/plain".to_owned()),
            user_properties: Some(vec![("k".to_owned(), "v".to_owned())]),
            expiry_seconds: Some(60),
        };
        let expected = "topic a/b, qos 0, retain true, content-type text/plain, user-properties k=v, expiry 60s, payload \"x\"";
        assert_eq!(line(&change), expected);
    }
}
