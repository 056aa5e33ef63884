use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::{Health, Priority};

use super::{CLIENT_ID_PREFIX, State, Status};
use crate::hub::Hub;

/// What the gateway says of its bridges, below `$SYS/broker/connection`, where Mosquitto has the state of its own.
#[derive(Debug, Default)]
pub(crate) struct Told {
    before: BTreeMap<String, Before>,
}

/// What was known of a bridge when it was last told.
#[derive(Debug)]
struct Before {
    /// When its state began, by the monotonic clock and in seconds of Unix time.
    since: (Instant, u64),
    /// Since when something has waited for it, as far as that was seen.
    waits_since: Option<Instant>,
    /// The topics with its values.
    topics: BTreeSet<String>,
}

/// The part of its session that is told.
#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    messages: u64,
    bytes: u64,
    in_flight: u64,
}

impl Told {
    /// Topics with their values at `now`, which is `unix` on the wall.
    pub(crate) fn values(
        &mut self,
        bridges: &[Arc<Status>],
        hub: &Hub,
        (now, unix): (Instant, Duration),
    ) -> Vec<(String, String)> {
        let queue = |status: &Status| {
            let session = hub.guest(&format!("{CLIENT_ID_PREFIX}{}", status.name));
            let session = session.map(|(session, ..)| session)?;
            Some(Queue {
                messages: session.queued as u64,
                bytes: session.queued_bytes as u64,
                in_flight: session.in_flight as u64,
            })
        };
        let one = |status: &Arc<Status>| {
            self.of_one(status, queue(status).unwrap_or_default(), (now, unix))
        };
        let mut values: Vec<_> = bridges.iter().flat_map(one).collect();
        let names: BTreeSet<&str> = bridges.iter().map(|status| status.name.as_str()).collect();
        values.extend(self.of_others(&names));
        values
    }

    /// The topics of bridges that are gone, without a value, which removes them.
    fn of_others(&mut self, names: &BTreeSet<&str>) -> Vec<(String, String)> {
        let (stay, go) = std::mem::take(&mut self.before)
            .into_iter()
            .partition(|(name, _)| names.contains(name.as_str()));
        self.before = stay;
        let go: BTreeMap<String, Before> = go;
        let topics = go.into_values().flat_map(|before| before.topics);
        topics.map(|topic| (topic, String::new())).collect()
    }

    fn of_one(
        &mut self,
        status: &Status,
        queue: Queue,
        (now, unix): (Instant, Duration),
    ) -> Vec<(String, String)> {
        let (view, name) = (status.view(), status.name.as_str());
        let began = || unix.saturating_sub(now.saturating_duration_since(view.since)).as_secs();
        let before = self.before.entry(name.to_owned()).or_insert_with(|| Before {
            since: (view.since, began()),
            waits_since: None,
            topics: BTreeSet::new(),
        });
        if before.since.0 != view.since {
            before.since = (view.since, began());
        }
        before.waits_since = match queue.messages {
            0 => None,
            _ => before.waits_since.or(Some(now)),
        };
        let waits = before.waits_since.map_or(Duration::ZERO, |since| now - since).as_secs();
        let (round_trip, missing) = match view.health {
            Health::Healthy { round_trip } => (Some(round_trip.as_millis()), Some(0)),
            Health::Degraded { missing } => (None, Some(missing)),
            Health::Unwatched | Health::Untested | Health::Untestable => (None, None),
        };
        let opens = view.opens_at.map(|at| ("opens", at));
        let opens_for = view.resting().filter_map(|(priority, at)| Some((place_of(priority), at?)));
        let opens: Vec<_> = opens.into_iter().chain(opens_for).collect();
        let counts = &view.counts;
        let mut values = vec![
            ("state", u64::from(view.state == State::Connected).to_string()),
            ("condition", view.state.to_string()),
            ("since", before.since.1.to_string()),
            ("cause", view.cause.unwrap_or_else(|| "none".to_owned())),
            ("health", view.health.to_string()),
            ("connections", view.connections.to_string()),
            ("failures", view.failures.to_string()),
            ("messages/queued", queue.messages.to_string()),
            ("bytes/queued", queue.bytes.to_string()),
            ("messages/inflight", queue.in_flight.to_string()),
            ("backlog/seconds", waits.to_string()),
            ("messages/sent", counts.sent.to_string()),
            ("messages/confirmed", counts.confirmed.to_string()),
            ("messages/received", counts.received.to_string()),
            ("messages/refused", counts.refused.to_string()),
            ("messages/dropped", counts.dropped.to_string()),
        ];
        values.extend(round_trip.map(|it| ("probe/round-trip/ms", it.to_string())));
        values.extend(missing.map(|it| ("probe/missing", it.to_string())));
        values.extend(opens.into_iter().map(|(key, at)| (key, at.to_string())));
        let place = |(key, value)| (format!("$SYS/broker/connection/{name}/{key}"), value);
        let mut values: Vec<_> = values.into_iter().map(place).collect();
        let topics = values.iter().map(|(topic, _)| topic.clone()).collect();
        // What is not known any more is told no longer.
        let unknown = std::mem::replace(&mut before.topics, topics);
        let unknown = unknown.into_iter().filter(|topic| !before.topics.contains(topic));
        values.extend(unknown.map(|topic| (topic, String::new())));
        values
    }
}

/// Where it is said when messages of a priority go.
fn place_of(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "opens/high",
        Priority::Normal => "opens/normal",
        Priority::Low => "opens/low",
    }
}

#[cfg(test)]
mod tests {
    use mqtt::Version;

    use super::*;

    #[test]
    fn what_is_told_says_how_long_something_has_waited() {
        let status = Status::new("up", "mqtt://localhost", Version::V5);
        status.connected(false);
        status.health(Health::Healthy { round_trip: Duration::from_millis(7) });
        let mut told = Told::default();
        let start = status.view().since;
        let mut look = |seconds: u64, messages: u64| -> BTreeMap<String, String> {
            let at = (start + Duration::from_secs(seconds), Duration::from_secs(1000 + seconds));
            let queue = Queue { messages, bytes: messages * 10, in_flight: 0 };
            told.of_one(&status, queue, at).into_iter().collect()
        };
        let value = |values: &BTreeMap<String, String>, key: &str| {
            values.get(&format!("$SYS/broker/connection/up/{key}")).cloned().unwrap_or_default()
        };
        for (seconds, messages, waits) in [(0, 0, "0"), (5, 2, "0"), (9, 1, "4"), (12, 0, "0")] {
            let values = look(seconds, messages);
            assert_eq!(value(&values, "backlog/seconds"), waits, "at {seconds}");
            assert_eq!(value(&values, "messages/queued"), messages.to_string());
            assert_eq!(value(&values, "since"), "1000");
            assert_eq!(value(&values, "state") + &value(&values, "condition"), "1connected");
            assert_eq!(value(&values, "probe/round-trip/ms"), "7");
            assert!(values.keys().all(|topic| mqtt::TopicName::new(topic).is_ok()));
            assert!(values.values().all(|value| !value.is_empty()), "that would remove it");
        }
        status.health(Health::Degraded { missing: 1 });
        let values = look(13, 0);
        let round_trip = values.get("$SYS/broker/connection/up/probe/round-trip/ms");
        assert_eq!(round_trip.map(String::as_str), Some(""), "it is removed");
        let values = look(14, 0);
        assert!(!values.contains_key("$SYS/broker/connection/up/probe/round-trip/ms"), "once");
        status.closed(Some(7200));
        // The first removes what is not known any more.
        look(15, 3);
        let values = look(16, 3);
        assert_eq!(value(&values, "state") + &value(&values, "condition"), "0closed");
        assert_eq!(value(&values, "opens"), "7200");
        let cause = "outside of its windows; the next opens at 1970-01-01T02:00:00Z";
        assert_eq!(value(&values, "cause") + &value(&values, "failures"), format!("{cause}0"));
        let gone = told.of_others(&BTreeSet::new());
        assert!(gone.iter().all(|(topic, value)| values.contains_key(topic) && value.is_empty()));
        assert_eq!(gone.len(), values.len());
        assert!(told.of_others(&BTreeSet::new()).is_empty());
    }
}
