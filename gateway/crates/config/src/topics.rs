//! `[topics.NAME]`: how the messages of some topics are kept.

use ::mqtt::{TopicFilter, TopicFilterBuf};

use crate::section::Section;
use crate::sessions::{QUEUED_BYTES, QUEUED_MESSAGES};

/// One rule. Rules are looked at in the order of their names; the first that says something about
/// a matter decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRule {
    /// Its name in the file.
    pub name: String,
    /// The topics that it is about; not that of a shared subscription.
    pub filter: TopicFilterBuf,
    /// What an acknowledgement waits for, if the rule says so.
    pub durability: Option<Durability>,
    /// What is done where a queue has no room, if the rule says so.
    pub overflow: Option<Overflow>,
    /// Messages that may wait for one client, if the rule says so.
    pub max_queued_messages: Option<u32>,
    /// Their bytes, if the rule says so.
    pub max_queued_bytes: Option<u64>,
}

/// What the acknowledgement of a QoS 1 message waits for; QoS 2 is always strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Until a power cut cannot take it.
    #[default]
    Strict,
    /// Nothing; it is written at once and synced within a second.
    Relaxed,
    /// Nothing; it is synced whenever the operating system does so.
    Off,
}

/// What happens to a message for which a queue has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The publisher is told.
    #[default]
    Reject,
    /// It is dropped.
    DropNewest,
    /// Older messages make room.
    DropOldest,
    /// It takes the place of the one on the same topic; failing that, older messages make room.
    LastValue,
}

pub(crate) const DURABILITIES: [(&str, Durability); 3] =
    [("strict", Durability::Strict), ("relaxed", Durability::Relaxed), ("off", Durability::Off)];

pub(crate) const OVERFLOWS: [(&str, Overflow); 4] = [
    ("reject", Overflow::Reject),
    ("drop-newest", Overflow::DropNewest),
    ("drop-oldest", Overflow::DropOldest),
    ("last-value", Overflow::LastValue),
];

/// What a fault about such a limit shows; there is no default.
const EXAMPLE_MESSAGES: u32 = 1000;
const EXAMPLE_BYTES: u64 = 1 << 20;

pub(crate) fn read(root: &Section<'_>) -> Vec<TopicRule> {
    let sections = root.named("topics", "topic rule");
    sections.into_iter().filter_map(|(name, section)| read_one(name, &section)).collect()
}

fn read_one(name: String, section: &Section<'_>) -> Option<TopicRule> {
    let filter = filter(section);
    let durability = section
        .text("durability")
        .and_then(|word| section.chosen("durability", &word, &DURABILITIES));
    let overflow =
        section.text("overflow").and_then(|word| section.chosen("overflow", &word, &OVERFLOWS));
    let (messages, bytes) = ("max-queued-messages", "max-queued-bytes");
    let most = section.number(messages, EXAMPLE_MESSAGES, QUEUED_MESSAGES);
    let max_queued_messages = section.has(messages).then_some(most);
    let most = section.size(bytes, EXAMPLE_BYTES, QUEUED_BYTES);
    let max_queued_bytes = section.has(bytes).then_some(most);
    section.finish();
    let filter = filter?;
    Some(TopicRule { name, filter, durability, overflow, max_queued_messages, max_queued_bytes })
}

fn filter(section: &Section<'_>) -> Option<TopicFilterBuf> {
    let hint = "say which topics it is about, such as filter = \"sensors/#\"";
    let text = section.required("filter", hint)?;
    let filter = TopicFilter::new(text.value).ok().filter(|f| f.share_group().is_none());
    if filter.is_none() {
        let message = format!(
            "\"{}\" is not a topic filter of a plain subscription (MQTT 5, 4.7); \"+\" stands for \
             one level, \"#\" at the end for all further ones",
            text.value
        );
        section.fault(text.line, "filter", &message);
    }
    filter.map(TopicFilter::to_owned)
}
