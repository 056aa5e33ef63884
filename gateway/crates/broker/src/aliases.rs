use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU16;

use foldhash::fast::FixedState;
use mqtt::{TopicName, TopicNameBuf};

/// The topic aliases that a client has set (MQTT 5, 3.3.2.3.4). They end with the connection.
#[derive(Debug, Default)]
pub(crate) struct InboundAliases {
    topics: BTreeMap<NonZeroU16, TopicNameBuf>,
}

impl InboundAliases {
    /// Lets `alias` stand for `topic` from now on.
    pub(crate) fn set(&mut self, alias: NonZeroU16, topic: TopicName<'_>) {
        // Devices repeat the topic with the alias until they know that it was heard.
        if !self.knows(alias, topic) {
            self.topics.insert(alias, topic.to_owned());
        }
    }

    /// Whether `alias` stands for `topic` already.
    pub(crate) fn knows(&self, alias: NonZeroU16, topic: TopicName<'_>) -> bool {
        self.topics.get(&alias).is_some_and(|known| known.as_topic() == topic)
    }

    /// The topic that `alias` stands for.
    pub(crate) fn get(&self, alias: NonZeroU16) -> Option<&TopicNameBuf> {
        self.topics.get(&alias)
    }
}

/// The topic aliases that a client was told. The first topics get them and keep them until the
/// connection ends: a device hears the same few topics again and again.
#[derive(Debug, Default)]
pub(crate) struct OutboundAliases {
    max: u16,
    known: HashMap<Box<str>, NonZeroU16, FixedState>,
}

/// How a topic is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// By its name alone.
    Name,
    /// By its name, together with the alias that it has from then on.
    Introduce(NonZeroU16),
    /// By its alias alone.
    Alias(NonZeroU16),
}

/// An alias takes three bytes, so a shorter topic gains nothing.
const WORTH_AN_ALIAS: usize = 4;

impl OutboundAliases {
    /// Up to `max` aliases; 0 gives none.
    pub(crate) fn new(max: u16) -> Self {
        Self { max, known: HashMap::default() }
    }

    /// Whether there are no aliases on this connection.
    pub(crate) fn is_off(&self) -> bool {
        self.max == 0
    }

    /// How to send `topic`. What [`Naming::Introduce`] says holds once it was
    /// [`remembered`](Self::remember), which is when the packet is on its way.
    pub(crate) fn naming(&self, topic: &str) -> Naming {
        if self.max == 0 || topic.len() < WORTH_AN_ALIAS {
            return Naming::Name;
        }
        if let Some(alias) = self.known.get(topic) {
            return Naming::Alias(*alias);
        }
        let next = u16::try_from(self.known.len() + 1).ok().filter(|next| *next <= self.max);
        next.and_then(NonZeroU16::new).map_or(Naming::Name, Naming::Introduce)
    }

    /// The client has been told that `alias` is `topic`.
    pub(crate) fn remember(&mut self, topic: &str, alias: NonZeroU16) {
        self.known.insert(topic.into(), alias);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_topics_get_an_alias_each_and_the_others_none() {
        let mut aliases = OutboundAliases::new(2);
        for (topic, expected) in [("first", 1), ("second", 2)] {
            let alias = NonZeroU16::new(expected).expect("not 0");
            assert_eq!(aliases.naming(topic), Naming::Introduce(alias));
            assert_eq!(aliases.naming(topic), Naming::Introduce(alias), "not told yet");
            aliases.remember(topic, alias);
            assert_eq!(aliases.naming(topic), Naming::Alias(alias));
        }
        assert_eq!(aliases.naming("third"), Naming::Name);
        assert_eq!(OutboundAliases::default().naming("first"), Naming::Name);
        assert_eq!(OutboundAliases::new(9).naming("t/x"), Naming::Name, "nothing gained");
    }
}
