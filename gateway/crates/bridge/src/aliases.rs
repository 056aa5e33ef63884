use std::collections::BTreeMap;
use std::num::NonZeroU16;

use mqtt::{Publish, TopicName};

/// Short names for topics on one connection (MQTT 5, 3.3.2.3.4): the first so many topics get one each.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    most: u16,
    known: BTreeMap<Box<str>, NonZeroU16>,
}

/// Bytes of the longest topic that an alias would not make shorter.
const SHORT: usize = 4;

impl Aliases {
    /// As many as both sides want.
    pub(crate) fn new(most: u16) -> Self {
        Self { most, known: BTreeMap::new() }
    }

    /// The message with an alias in the place of its topic, or beside it where it is the first with it.
    pub(crate) fn apply<'p>(&mut self, publish: Publish<'p>) -> Publish<'p> {
        let Some(topic) = publish.topic.map(TopicName::as_str).filter(|it| it.len() > SHORT) else {
            return publish;
        };
        if let Some(alias) = self.known.get(topic) {
            return Publish { topic: None, topic_alias: Some(*alias), ..publish };
        }
        let next = u16::try_from(self.known.len() + 1).ok().filter(|next| *next <= self.most);
        let Some(alias) = next.and_then(NonZeroU16::new) else { return publish };
        self.known.insert(topic.into(), alias);
        Publish { topic_alias: Some(alias), ..publish }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_topics_get_one_and_others_stay_as_they_are() {
        let mut aliases = Aliases::new(2);
        let mut sent = |topic| {
            let publish = Publish::new(TopicName::new(topic).unwrap(), b"");
            let sent = aliases.apply(publish);
            (sent.topic.map(|it| it.as_str().len()), sent.topic_alias.map(NonZeroU16::get))
        };
        assert_eq!(sent("plant/one"), (Some(9), Some(1)));
        assert_eq!(sent("plant/one"), (None, Some(1)));
        assert_eq!(sent("a/b"), (Some(3), None), "an alias would be as long");
        assert_eq!(sent("plant/two"), (Some(9), Some(2)));
        assert_eq!(sent("plant/three"), (Some(11), None));
        assert_eq!(sent("plant/two"), (None, Some(2)));
    }
}
