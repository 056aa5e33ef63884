//! The first lines of a script: limits of the broker, and its rules for topics.

use mqtt::TopicFilter;
use portcullis_broker::{Durability, Overflow, Settings, TopicRule};

use crate::words::{self, Words};

/// Sets what a line says.
pub(crate) fn set(settings: &mut Settings, words: &Words<'_>) {
    for word in words.from(1) {
        let (key, value) = word.split_once('=').expect("key=value");
        if key == "overflow" {
            settings.overflow = overflow(value);
            continue;
        }
        let value = words::number(value);
        let size = value as usize;
        match key {
            "receive-maximum" => settings.receive_maximum = u16::try_from(value).expect("16"),
            "max-inflight" => settings.max_inflight = u16::try_from(value).expect("16"),
            "max-keep-alive" => settings.max_keep_alive = u16::try_from(value).expect("16"),
            "max-pending" => settings.max_journal_bytes = size,
            "max-session-expiry" => settings.max_session_expiry = value,
            "max-waiting-messages" => settings.max_waiting_messages = size,
            "max-queued-messages" => settings.max_queued_messages = size,
            "max-queued-bytes" => settings.max_queued_bytes = size,
            "max-queued-bytes-total" => settings.max_queued_bytes_total = size,
            "max-outbox-bytes" => settings.max_outbox_bytes = size,
            "max-subscriptions" => settings.max_subscriptions = size,
            "max-topic-levels" => settings.max_topic_levels = size,
            "max-retained-messages" => settings.max_retained_messages = size,
            "max-retained-bytes" => settings.max_retained_bytes = size,
            "max-topic-bytes" => settings.max_topic_bytes = size,
            "max-user-properties" => settings.max_user_properties = size,
            "topic-alias-maximum" => {
                settings.topic_alias_maximum = u16::try_from(value).expect("16");
            }
            "max-topic-aliases" => {
                settings.max_topic_aliases = u16::try_from(value).expect("16");
            }
            "maximum-qos" => settings.maximum_qos = words::qos(value),
            "retain" => settings.retain_available = value > 0,
            "wildcards" => settings.wildcards_available = value > 0,
            "sub-ids" => settings.subscription_ids_available = value > 0,
            "shared" => settings.shared_available = value > 0,
            "validate-payload" => settings.validate_payload_format = value > 0,
            other => panic!("there is no setting {other:?}"),
        }
    }
}

/// The rule that a line states.
pub(crate) fn rule(words: &Words<'_>) -> TopicRule {
    let filter = TopicFilter::new(words.plain(1)).expect("a filter").to_owned();
    let mut rule = TopicRule {
        name: filter.as_str().to_owned(),
        filter,
        durability: None,
        overflow: None,
        max_queued_messages: None,
        max_queued_bytes: None,
    };
    for word in words.from(2) {
        match word.split_once('=').expect("key=value") {
            ("durability", "strict") => rule.durability = Some(Durability::Strict),
            ("durability", "relaxed") => rule.durability = Some(Durability::Relaxed),
            ("durability", "off") => rule.durability = Some(Durability::Off),
            ("overflow", value) => rule.overflow = Some(overflow(value)),
            ("max-queued-messages", value) => {
                rule.max_queued_messages = Some(words::number(value) as usize);
            }
            ("max-queued-bytes", value) => {
                rule.max_queued_bytes = Some(words::number(value) as usize);
            }
            _ => panic!("{word:?} is not known"),
        }
    }
    rule
}

fn overflow(word: &str) -> Overflow {
    match word {
        "reject" => Overflow::Reject,
        "drop-newest" => Overflow::DropNewest,
        "drop-oldest" => Overflow::DropOldest,
        "last-value" => Overflow::LastValue,
        _ => panic!("{word:?} is not known"),
    }
}
