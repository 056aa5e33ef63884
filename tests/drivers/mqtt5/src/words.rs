//! The words of the cases, and what the crate calls the same.

use mqtt5::transport::StreamStrategy;
use mqtt5::{MessageProperties, PublishProperties, QoS, RetainHandling, WillProperties};
use serde_json::{Map, Value, json};

pub(crate) fn text(words: &Value, name: &str) -> Option<String> {
    words[name].as_str().map(str::to_owned)
}

pub(crate) fn number<T: TryFrom<u64>>(words: &Value, name: &str) -> Option<T> {
    words[name].as_u64().and_then(|number| T::try_from(number).ok())
}

pub(crate) fn flag(words: &Value, name: &str) -> bool {
    words[name].as_bool().unwrap_or_default()
}

pub(crate) fn qos(words: &Value) -> QoS {
    QoS::from(number(words, "qos").unwrap_or(0))
}

/// How streams are used, if QUIC is.
pub(crate) fn streams(words: &Value) -> Option<StreamStrategy> {
    Some(match words["quic"].as_str()? {
        "per-publish" => StreamStrategy::DataPerPublish,
        "per-topic" => StreamStrategy::DataPerTopic,
        _ => StreamStrategy::ControlOnly,
    })
}

pub(crate) fn handling(words: &Value) -> RetainHandling {
    match words["handling"].as_u64() {
        Some(1) => RetainHandling::SendIfNew,
        Some(2) => RetainHandling::DontSend,
        _ => RetainHandling::SendAtSubscribe,
    }
}

pub(crate) fn pairs(words: &Value) -> Vec<(String, String)> {
    let list = words["user"].as_array().into_iter().flatten();
    list.filter_map(|pair| Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned())))
        .collect()
}

pub(crate) fn publish_properties(words: &Value) -> PublishProperties {
    PublishProperties {
        payload_format_indicator: words["format"].as_u64().map(|format| format == 1),
        message_expiry_interval: number(words, "expiry"),
        topic_alias: number(words, "alias"),
        response_topic: text(words, "response-topic"),
        correlation_data: text(words, "correlation").map(String::into_bytes),
        user_properties: pairs(words),
        subscription_identifiers: Vec::new(),
        content_type: text(words, "content-type"),
    }
}

pub(crate) fn will_properties(words: &Value) -> WillProperties {
    let PublishProperties {
        payload_format_indicator,
        message_expiry_interval,
        response_topic,
        correlation_data,
        user_properties,
        content_type,
        ..
    } = publish_properties(words);
    WillProperties {
        will_delay_interval: number(words, "delay"),
        payload_format_indicator,
        message_expiry_interval,
        content_type,
        response_topic,
        correlation_data,
        user_properties,
    }
}

/// The words for the properties of a message that came.
pub(crate) fn of_message(properties: MessageProperties) -> Map<String, Value> {
    let mut words = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            words.insert(name.to_owned(), value);
        }
    };
    put("format", json!(properties.payload_format_indicator.map(u8::from)));
    put("expiry", json!(properties.message_expiry_interval));
    put("response-topic", json!(properties.response_topic));
    put("correlation", json!(properties.correlation_data.as_deref().map(String::from_utf8_lossy)));
    put("content-type", json!(properties.content_type));
    if !properties.user_properties.is_empty() {
        put("user", json!(properties.user_properties));
    }
    if !properties.subscription_identifiers.is_empty() {
        put("ids", json!(properties.subscription_identifiers));
    }
    words
}
