//! `[extensions.NAME.key-value]` and `[extensions.NAME.broker]`: how much an extension may keep, and what it may do to
//! clients and messages.

use mqtt::{TopicFilter, TopicFilterBuf};

use crate::section::Section;

/// How much an extension may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyValueGrant {
    /// Keys.
    pub max_keys: u32,
    /// Bytes of keys and values.
    pub max_bytes: u64,
}

/// What an extension may do besides answering hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerGrant {
    /// Filters of the topics that it may publish to; none is shared or for topics of the gateway.
    pub publish: Vec<TopicFilterBuf>,
    /// Whether it may disconnect clients.
    pub disconnect: bool,
    /// Whether it may give clients other permissions.
    pub permissions: bool,
    /// Orders in a second, of all kinds; as many may come at once.
    pub rate: u32,
}

const DEFAULT_KEYS: u32 = 10_000;
const KEYS_MAX: u32 = 1_000_000;
/// All of it is in memory too.
const DEFAULT_BYTES: u64 = 1 << 20;
const BYTES_MAX: u64 = 64 << 20;
/// A message for each of a hundred clients that come at once after a power cut.
const DEFAULT_RATE: u32 = 100;
const RATE_MAX: u32 = 10_000;

/// First levels of topics that are the gateway's own.
const OWN: [&str; 2] = ["$SYS", "$CONTROL"];

pub(crate) fn key_value(extension: &Section<'_>) -> KeyValueGrant {
    let section = extension.part("key-value");
    let grant = KeyValueGrant {
        max_keys: section.number("max-keys", DEFAULT_KEYS, 1..=KEYS_MAX),
        max_bytes: section.size("max-bytes", DEFAULT_BYTES, 1..=BYTES_MAX),
    };
    section.finish();
    grant
}

pub(crate) fn broker(extension: &Section<'_>) -> BrokerGrant {
    let section = extension.part("broker");
    let grant = BrokerGrant {
        publish: publish(&section),
        disconnect: section.flag("disconnect", false),
        permissions: section.flag("permissions", false),
        rate: section.number("rate", DEFAULT_RATE, 1..=RATE_MAX),
    };
    section.finish();
    grant
}

fn publish(section: &Section<'_>) -> Vec<TopicFilterBuf> {
    let mut filters = Vec::new();
    for text in section.texts("publish").unwrap_or_default() {
        let fault =
            |why: &str| section.fault(text.line, "publish", &format!("\"{}\" {why}", text.value));
        match TopicFilter::new(text.value) {
            Err(error) => fault(&format!("is not a topic filter: {error}")),
            Ok(filter) if filter.share_group().is_some() => {
                fault("is a shared subscription; name the topics");
            }
            Ok(filter) if OWN.contains(&filter.as_str().split('/').next().unwrap_or_default()) => {
                fault("is for topics that are the gateway's own");
            }
            Ok(filter) => filters.push(filter.to_owned()),
        }
    }
    filters
}
