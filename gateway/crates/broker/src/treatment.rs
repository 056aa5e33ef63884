use mqtt::{TopicFilterBuf, TopicName};

use crate::Settings;
use crate::quota::Quota;

/// What the acknowledgement of a QoS 1 publish waits for. QoS 2 is always strict: what must come
/// exactly once must not be forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Each durable session that it is for has confirmed the message, or it survives a power cut.
    #[default]
    Strict,
    /// Nothing. What waits is written at once and synced soon: a power cut may cost what was
    /// acknowledged since the last sync, about a second; the end of the process, what was
    /// acknowledged during the last group commit, some milliseconds.
    Relaxed,
    /// Nothing. What an absent client waits for is written, and synced whenever the operating
    /// system does that: a power cut may cost half a minute. What a connected client has not
    /// confirmed is in memory only.
    Off,
}

/// What happens to a message for which a queue has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The publisher is told (0x97 in MQTT 5), and the queue stays as it is. A QoS 2 message that
    /// one queue refuses goes to nobody, so that it can be sent again; one of QoS 1 goes to all
    /// others.
    #[default]
    Reject,
    /// It is dropped, and the publisher hears nothing of it.
    DropNewest,
    /// The oldest messages of the queue that were not sent make room; where the limit of a topic
    /// rule is met, the oldest of those that it is about.
    DropOldest,
    /// As [`DropOldest`](Self::DropOldest); besides, it replaces the message on the same topic that
    /// waits in the queue, full or not. One that a restart found there is not replaced.
    LastValue,
}

/// How the messages of some topics are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRule {
    /// What it is called. A queue on disk knows by it which messages its limits are about.
    pub name: String,
    /// The topics.
    pub filter: TopicFilterBuf,
    /// Instead of what the publisher's listener says.
    pub durability: Option<Durability>,
    /// Instead of [`Settings::overflow`].
    pub overflow: Option<Overflow>,
    /// Messages on these topics that may wait for one session, besides those in flight and within
    /// [`Settings::max_queued_messages`]. More: [`overflow`](Self::overflow). It is about topics
    /// that no earlier rule with this limit or the next matches.
    pub max_queued_messages: Option<usize>,
    /// Bytes of them; as above.
    pub max_queued_bytes: Option<usize>,
}

/// How the messages of one topic are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Treatment {
    pub(crate) durability: Option<Durability>,
    pub(crate) overflow: Overflow,
    pub(crate) quota: Option<Quota>,
}

impl TopicRule {
    pub(crate) fn quota(&self) -> Option<Quota> {
        let (messages, bytes) = (self.max_queued_messages, self.max_queued_bytes);
        (messages.is_some() || bytes.is_some()).then(|| Quota::new(&self.name, messages, bytes))
    }
}

impl Settings {
    /// How the messages of `topic` are kept: of the rules that match, the first one counts that
    /// says anything about the matter.
    pub(crate) fn treatment(&self, topic: TopicName<'_>) -> Treatment {
        let rules =
            || self.topic_rules.iter().filter(|rule| rule.filter.as_filter().matches(topic));
        Treatment {
            durability: rules().find_map(|rule| rule.durability),
            overflow: rules().find_map(|rule| rule.overflow).unwrap_or(self.overflow),
            quota: rules().find_map(TopicRule::quota),
        }
    }
}
