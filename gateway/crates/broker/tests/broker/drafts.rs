//! What interceptors make of messages, in words.

use mqtt::{TopicFilter, TopicFilterBuf, TopicName};
use portcullis_broker::{Draft, Interception, Message, Reviewed};

use crate::words::{self, Words};

/// `a/#,b`
pub(crate) fn filters(words: &str) -> Vec<TopicFilterBuf> {
    let filter = |word: &str| TopicFilter::new(word).expect("a filter").to_owned();
    words.split(',').map(filter).collect()
}

/// `pass`, `discard`, `refuse 0x99`, `replace DRAFT...`
pub(crate) fn interception(words: &Words<'_>) -> Interception {
    match words.plain(0) {
        "pass" => Interception::Pass,
        "discard" => Interception::Discard,
        "refuse" => Interception::Refuse {
            code: words::code(words.plain(1)),
            why: "the script says no".to_owned(),
        },
        "replace" => Interception::Replace(words.from(1).iter().map(|word| draft(word)).collect()),
        other => panic!("{other:?} is no interception"),
    }
}

/// `pass`, `discard`, `failed`, or a DRAFT.
pub(crate) fn reviewed(word: &str) -> Reviewed {
    match word {
        "pass" => Reviewed::Pass,
        "discard" => Reviewed::Discard,
        "failed" => Reviewed::Failed,
        draft_of => Reviewed::Replace(draft(draft_of)),
    }
}

/// A message as interceptors are shown it.
pub(crate) fn say(message: &Message) -> String {
    format!("{} {}", message.topic, payload(&message.payload))
}

pub(crate) fn payload(bytes: &[u8]) -> String {
    if bytes.is_empty() { "-".to_owned() } else { String::from_utf8_lossy(bytes).into_owned() }
}

/// `topic:payload[:1|:2][:retain]`
fn draft(word: &str) -> Draft {
    let mut parts = word.split(':');
    let topic = TopicName::new(parts.next().unwrap_or_default()).expect("a topic").to_owned();
    let payload = parts.next().expect("topic:payload");
    let mut draft = Draft {
        topic,
        payload: if payload == "-" { Box::default() } else { payload.as_bytes().into() },
        qos: words::qos(0),
        retain: false,
        properties: Box::default(),
        expiry_seconds: None,
    };
    for part in parts {
        match part {
            "retain" => draft.retain = true,
            level => draft.qos = words::qos(words::number(level)),
        }
    }
    draft
}
