//! Messages, and what was made of them.

use mqtt::{QoS, TopicNameBuf};
use serde_json::Value;

use super::{code, flag, maybe, number, pairs, qos, text};
use crate::asked::Shown;
use crate::interception::{DeliveryAction, MessageChange, PublishAction};
use crate::tape::read_bytes;

pub(super) fn shown(value: &Value) -> Result<Shown, String> {
    Ok(Shown {
        topic: text(value, "topic")?,
        qos: qos(value, "qos")?,
        retain: flag(value, "retain")?,
        payload: bytes(value, "payload")?.ok_or("payload is missing")?,
        payload_size: number(value, "payload_bytes")?,
        content_type: maybe(value, "content_type")?,
        response_topic: maybe(value, "response_topic")?,
        correlation_data: bytes(value, "correlation_data")?,
        user_properties: pairs(value, "user_properties")?,
        expiry_seconds: unless_null(value, "expiry_seconds", number)?,
    })
}

pub(super) fn publish_action(word: &str, value: &Value) -> Result<PublishAction, String> {
    Ok(match word {
        "pass" => PublishAction::Pass,
        "discard" => PublishAction::Discard,
        "refuse" => PublishAction::Refuse { code: code(value)?, reason: maybe(value, "reason")? },
        "replace" => PublishAction::Replace(changes(value)?),
        other => return Err(format!("said {other:?} is not known")),
    })
}

pub(super) fn delivery_action(word: &str, value: &Value) -> Result<DeliveryAction, String> {
    Ok(match word {
        "pass" => DeliveryAction::Pass,
        "discard" => DeliveryAction::Discard,
        "replace" => {
            let change = changes(value)?.into_iter().next().ok_or("replace is empty")?;
            DeliveryAction::Replace(Box::new(change))
        }
        other => return Err(format!("said {other:?} is not known")),
    })
}

fn changes(value: &Value) -> Result<Vec<MessageChange>, String> {
    value.as_array().ok_or("replace is no list")?.iter().map(change).collect()
}

fn change(value: &Value) -> Result<MessageChange, String> {
    let topic = maybe(value, "topic")?.map(|topic| {
        TopicNameBuf::new(&topic).map_err(|error| format!("{topic:?} is no topic: {error}"))
    });
    Ok(MessageChange {
        topic: topic.transpose()?,
        qos: unless_null::<QoS>(value, "qos", qos)?,
        retain: unless_null(value, "retain", flag)?,
        payload: bytes(value, "payload")?,
        content_type: maybe(value, "content_type")?,
        user_properties: unless_null(value, "user_properties", pairs)?,
        expiry_seconds: unless_null(value, "expiry_seconds", number)?,
    })
}

fn bytes(value: &Value, name: &str) -> Result<Option<Vec<u8>>, String> {
    match &value[name] {
        Value::Null => Ok(None),
        bytes => match read_bytes(bytes) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(format!("{name} is not bytes")),
        },
    }
}

fn unless_null<T>(
    value: &Value,
    name: &str,
    read: impl FnOnce(&Value, &str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if value[name].is_null() { Ok(None) } else { read(value, name).map(Some) }
}
