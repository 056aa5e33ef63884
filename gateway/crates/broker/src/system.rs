use mqtt::{Publish, TopicFilter, TopicName};
use session::Timestamp;

use crate::Broker;
use crate::deliver::Publication;

/// The first level of the topics that are the gateway's own.
const ROOT: &str = "$SYS";

/// Why no client may publish below [`ROOT`].
pub(crate) const RESERVED: &str = "topics below $SYS are the gateway's own";

/// What the gateway publishes about itself.
///
/// These messages have QoS 0 and are retained in memory only: they are true of one run, and an
/// operator's dashboard is no reason to write to the disk.
impl Broker {
    /// Publishes a value of the gateway itself, on a topic below `$SYS`. Whoever subscribes later
    /// finds it retained. Nothing happens if the value is the one that was published before. Without
    /// a value nothing is retained any more.
    pub fn publish_system(&mut self, now: Timestamp, topic: TopicName<'_>, value: &[u8]) {
        debug_assert!(is_reserved(topic.as_str()), "{topic} could be a client's");
        let known = self.system.get(topic.as_str()).map(|known| &*known.payload);
        if known.unwrap_or_default() == value {
            return;
        }
        let publish = Publish { retain: true, ..Publish::new(topic, value) };
        let mut publication = Publication::new(&publish, topic, now);
        match value {
            [] => {
                self.system.remove(topic.as_str());
            }
            _ => self.system.insert(publication.body()),
        }
        let route = self.route(topic.as_str());
        publication.quota = route.treatment.quota;
        self.fan_out(now, &mut publication, &route);
    }
}

/// Whether only the gateway may publish to `topic`, whatever permissions say.
pub(crate) fn is_reserved(topic: &str) -> bool {
    topic.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the topics that `filter` matches can be reserved: no wildcard stands for `$SYS`
/// (MQTT-4.7.2-1).
pub(crate) fn can_match(filter: TopicFilter<'_>) -> bool {
    is_reserved(filter.matcher())
}

#[cfg(test)]
mod tests {
    use super::is_reserved;

    #[test]
    fn only_the_first_level_reserves() {
        for topic in ["$SYS", "$SYS/", "$SYS/broker/uptime"] {
            assert!(is_reserved(topic), "{topic}");
        }
        for topic in ["$SYSTEM", "$sys/broker", "SYS/broker", "a/$SYS/broker", "$", ""] {
            assert!(!is_reserved(topic), "{topic}");
        }
    }
}
