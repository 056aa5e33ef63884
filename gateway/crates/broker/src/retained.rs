use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use mqtt::{TopicFilter, TopicNameBuf};
use session::{Message, Timestamp};

/// The last retained message of each topic (MQTT 5, 3.3.1.3).
#[derive(Debug, Default)]
pub(crate) struct Retained {
    messages: BTreeMap<TopicNameBuf, Arc<Message>>,
    weight: usize,
    /// Nothing expires before this; `None` when nothing expires at all.
    expires_first: Option<Timestamp>,
}

impl Retained {
    /// Keeps `message` for its topic.
    pub(crate) fn insert(&mut self, message: Arc<Message>) {
        self.weight += message.weight();
        self.expires_first = earlier(self.expires_first, message.expires);
        if let Some(old) = self.messages.insert(message.topic.clone(), message) {
            self.weight -= old.weight();
        }
    }

    /// Forgets the message of `topic`; false if there was none.
    pub(crate) fn remove(&mut self, topic: &str) -> bool {
        let Some(old) = self.messages.remove(topic) else { return false };
        self.weight -= old.weight();
        true
    }

    /// Forgets every expired message, and says of which topics. Costs nothing when there is none.
    pub(crate) fn take_expired(&mut self, now: Timestamp) -> Vec<TopicNameBuf> {
        if self.expires_first.is_none_or(|first| first > now) {
            return Vec::new();
        }
        let expired = self.messages.values().filter(|message| message.expired(now));
        let topics: Vec<_> = expired.map(|message| message.topic.clone()).collect();
        for topic in &topics {
            self.remove(topic.as_str());
        }
        let left = self.messages.values().map(|message| message.expires);
        self.expires_first = left.fold(None, earlier);
        topics
    }

    pub(crate) fn get(&self, topic: &str) -> Option<&Arc<Message>> {
        self.messages.get(topic)
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Bytes of all retained messages.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// The unexpired messages whose topic matches `filter`, by topic.
    pub(crate) fn matching(&self, filter: TopicFilter<'_>, now: Timestamp) -> Vec<Arc<Message>> {
        let prefix = literal_prefix(filter.matcher());
        self.messages
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(topic, _)| topic.as_str().starts_with(prefix))
            .filter(|(topic, message)| filter.matches(topic.as_topic()) && !message.expired(now))
            .map(|(_, message)| Arc::clone(message))
            .collect()
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// What every topic that matches `filter` begins with.
fn literal_prefix(filter: &str) -> &str {
    let end = filter.find(['+', '#']).unwrap_or(filter.len());
    // `a/#` matches `a` too, so the separator before a `#` is not part of the prefix.
    let prefix = filter.get(..end).unwrap_or_default();
    if filter.get(end..) == Some("#") { prefix.strip_suffix('/').unwrap_or(prefix) } else { prefix }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::{QoS, TopicName};

    fn message(topic: &str, expires: Option<u64>) -> Arc<Message> {
        Arc::new(Message {
            topic: TopicName::new(topic).expect("valid topic").to_owned(),
            payload: Box::from(*b"x"),
            qos: QoS::AtMostOnce,
            retain: true,
            properties: Box::default(),
            expires: expires.map(Timestamp::from_unix_ms),
        })
    }

    #[test]
    fn a_filter_finds_what_it_matches_and_nothing_expired() {
        let mut retained = Retained::default();
        for topic in ["a", "a/b", "a/b/c", "ab", "b", "$SYS/x"] {
            retained.insert(message(topic, None));
        }
        retained.insert(message("a/gone", Some(5)));
        let check = |filter: &str, expected: &[&str]| {
            let filter = TopicFilter::new(filter).expect("valid filter");
            let found = retained.matching(filter, Timestamp::from_unix_ms(10));
            let found: Vec<_> = found.iter().map(|m| m.topic.as_str().to_owned()).collect();
            assert_eq!(found, expected, "{filter}");
        };
        check("a/#", &["a", "a/b", "a/b/c"]);
        check("a/+", &["a/b"]);
        check("#", &["a", "a/b", "a/b/c", "ab", "b"]);
        check("a", &["a"]);
        check("+", &["a", "ab", "b"]);
        check("$SYS/#", &["$SYS/x"]);
    }

    #[test]
    fn weight_follows_replacement_and_removal() {
        let mut retained = Retained::default();
        retained.insert(message("t", None));
        let one = retained.weight();
        retained.insert(message("t", None));
        assert_eq!((retained.weight(), retained.len()), (one, 1));
        assert!(retained.remove("t") && !retained.remove("t"));
        assert_eq!(retained.weight(), 0);
    }
}
