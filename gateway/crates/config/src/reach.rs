//! `[extensions.NAME.key-value]`, `[extensions.NAME.broker]` and `[extensions.NAME.messages]`: how much an extension may
//! keep, what it may do to clients and messages, and which messages it may look at.

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

/// Which messages an extension may look at and change on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageGrant {
    /// Filters of the topics of which it may see what clients publish.
    pub publish: Vec<TopicFilterBuf>,
    /// Filters of the topics of which it may see what clients are sent.
    pub deliver: Vec<TopicFilterBuf>,
    /// Filters of the topics to which it may move messages.
    pub to: Vec<TopicFilterBuf>,
    /// What becomes of a message when it fails.
    pub on_failure: OnFailure,
}

/// What becomes of a message when the extension that is to see it fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// A publish is refused, a delivery dropped.
    #[default]
    Refuse,
    /// It goes on as it is.
    Pass,
}

impl OnFailure {
    const NAMES: [(&'static str, Self); 2] = [("refuse", Self::Refuse), ("pass", Self::Pass)];
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
        publish: filters(&section, "publish"),
        disconnect: section.flag("disconnect", false),
        permissions: section.flag("permissions", false),
        rate: section.number("rate", DEFAULT_RATE, 1..=RATE_MAX),
    };
    section.finish();
    grant
}

pub(crate) fn messages(extension: &Section<'_>) -> MessageGrant {
    let section = extension.part("messages");
    let on_failure = section.text("on-failure");
    let grant = MessageGrant {
        publish: filters(&section, "publish"),
        deliver: filters(&section, "deliver"),
        to: filters(&section, "to"),
        on_failure: on_failure
            .and_then(|word| section.chosen("on-failure", &word, &OnFailure::NAMES))
            .unwrap_or_default(),
    };
    section.finish();
    grant
}

fn filters(section: &Section<'_>, key: &'static str) -> Vec<TopicFilterBuf> {
    let mut filters = Vec::new();
    for text in section.texts(key).unwrap_or_default() {
        let fault = |why: &str| section.fault(text.line, key, &format!("\"{}\" {why}", text.value));
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
