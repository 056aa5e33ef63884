//! `[mqtt]`: what of MQTT clients may use.

use crate::section::Section;

/// What is available to clients; CONNACK tells MQTT 5 clients what is not (5.0, 3.2.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// The highest QoS of a publish: 0, 1 or 2.
    pub maximum_qos: u8,
    /// Whether messages may be retained.
    pub retain: bool,
    /// Whether filters may have wildcards.
    pub wildcard_subscriptions: bool,
    /// Whether subscriptions may be shared.
    pub shared_subscriptions: bool,
    /// Whether subscriptions may have identifiers.
    pub subscription_identifiers: bool,
    /// Topic aliases that a client may set.
    pub topic_alias_maximum: u16,
    /// Topic aliases that the gateway sets towards a client that allows them.
    pub max_topic_aliases: u16,
    /// Whether a payload that says that it is UTF-8 must be.
    pub validate_payload_format: bool,
}

/// What a device publishes to, and some. A topic of each is kept for each connection that sets it.
const DEFAULT_TOPIC_ALIASES: u16 = 32;

pub(crate) fn read(root: &Section<'_>) -> Mqtt {
    let section = root.section("mqtt");
    let aliases = |key| section.number(key, DEFAULT_TOPIC_ALIASES, 0..=u16::MAX);
    let mqtt = Mqtt {
        maximum_qos: section.number("maximum-qos", 2, 0..=2),
        retain: section.flag("retain", true),
        wildcard_subscriptions: section.flag("wildcard-subscriptions", true),
        shared_subscriptions: section.flag("shared-subscriptions", true),
        subscription_identifiers: section.flag("subscription-identifiers", true),
        topic_alias_maximum: aliases("topic-alias-maximum"),
        max_topic_aliases: aliases("max-topic-aliases"),
        validate_payload_format: section.flag("validate-payload-format", false),
    };
    section.finish();
    mqtt
}
