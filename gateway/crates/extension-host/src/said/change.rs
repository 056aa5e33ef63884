//! One message in the place of another, compared and shown.

use std::fmt;

use crate::interception::MessageChange;

/// Whether what is in messages is compared, or only whether it is another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    Compared,
    Veiled,
}

/// Whether both have the same effect.
pub(super) fn same_change(a: &MessageChange, b: &MessageChange, contents: Contents) -> bool {
    let rest = |change: &MessageChange| MessageChange {
        payload: None,
        user_properties: None,
        ..change.clone()
    };
    match contents {
        Contents::Compared => a == b,
        Contents::Veiled => {
            a.payload.is_some() == b.payload.is_some()
                && a.user_properties.is_some() == b.user_properties.is_some()
                && rest(a) == rest(b)
        }
    }
}

/// A change in a line, without what may be secret: how much it is, and not what.
pub(super) struct Line<'a>(pub(super) &'a MessageChange);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MessageChange {
            topic,
            qos,
            retain,
            payload,
            content_type,
            user_properties,
            expiry_seconds,
        } = self.0;
        let mut parts = Vec::new();
        parts.extend(topic.as_ref().map(|topic| format!("topic {topic}")));
        parts.extend(qos.map(|qos| format!("QoS {}", qos.as_u8())));
        parts.extend(retain.map(|retain| (if retain { "retain" } else { "no retain" }).to_owned()));
        parts.extend(payload.as_ref().map(|payload| format!("payload of {} bytes", payload.len())));
        parts.extend(content_type.as_ref().map(|kind| format!("content type {kind}")));
        parts.extend(user_properties.as_ref().map(|all| format!("{} user properties", all.len())));
        parts.extend(expiry_seconds.map(|seconds| format!("expiry {seconds} s")));
        match parts.is_empty() {
            true => f.write_str("itself"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt::{QoS, TopicNameBuf};

    use super::*;

    fn change(payload: &[u8]) -> MessageChange {
        MessageChange { payload: Some(payload.to_vec()), ..MessageChange::default() }
    }

    #[test]
    fn a_line_says_what_changes_and_not_to_what() {
        let all = MessageChange {
            topic: Some(TopicNameBuf::new("a/b").unwrap()),
            qos: Some(QoS::AtLeastOnce),
            retain: Some(false),
            user_properties: Some(vec![("key".into(), "hunter2".into())]),
            expiry_seconds: Some(7),
            ..change(b"hunter2")
        };
        assert_eq!(
            Line(&all).to_string(),
            "topic a/b, QoS 1, no retain, payload of 7 bytes, 1 user properties, expiry 7 s"
        );
        assert_eq!(Line(&MessageChange::default()).to_string(), "itself");
    }

    #[test]
    fn contents_are_compared_unless_one_is_a_stand_in() {
        let (one, other) = (change(b"one"), change(b"other"));
        assert!(same_change(&one, &one, Contents::Compared));
        assert!(!same_change(&one, &other, Contents::Compared));
        assert!(same_change(&one, &other, Contents::Veiled));
        let without = MessageChange::default();
        assert!(!same_change(&one, &without, Contents::Veiled));
        let elsewhere = MessageChange { retain: Some(true), ..other };
        assert!(!same_change(&one, &elsewhere, Contents::Veiled));
    }
}
