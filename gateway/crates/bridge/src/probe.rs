use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use mqtt::{PacketId, TopicNameBuf};
use session::Timestamp;

/// How upstream is asked whether it routes messages, and does not only keep the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTerms {
    /// The topic that is published to, and subscribed to.
    pub topic: TopicNameBuf,
    /// The time between two probes.
    pub interval: Duration,
    /// Probes in a row that may be missing before the connection is given up; 0 never gives up.
    pub missing: u32,
}

/// What probes say of upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Nobody asked for probes.
    #[default]
    Unwatched,
    /// No probe has had the time to come back.
    Untested,
    /// Upstream does not let the bridge subscribe to its topic.
    Untestable,
    /// The last probe came back in time.
    Healthy {
        /// From here through upstream and back.
        round_trip: Duration,
    },
    /// Probes are out for longer than their interval.
    Degraded {
        /// How many intervals in a row.
        missing: u32,
    },
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unwatched => "unwatched",
            Self::Untested => "untested",
            Self::Untestable => "untestable",
            Self::Healthy { .. } => "healthy",
            Self::Degraded { .. } => "degraded",
        })
    }
}

/// Probes that are remembered: of longer absences nobody wants to know the round trip.
const OUT_MAX: usize = 128;

/// The probes of one connection.
#[derive(Debug)]
pub(crate) struct Probe {
    terms: ProbeTerms,
    /// What tells its tokens from those of other connections and gateways.
    mark: String,
    /// The SUBSCRIBE that is not answered.
    pub(crate) asked: Option<PacketId>,
    /// When the next is due; none before upstream has granted the subscription.
    due: Option<Timestamp>,
    number: u64,
    /// Those that have not come back, oldest first.
    out: VecDeque<(u64, Timestamp)>,
    health: Health,
    /// Whether upstream is known to let probes through.
    proven: bool,
}

/// What is to be done when a probe is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This goes out as the next.
    Send(String),
    /// So many are missing that the connection is of no use.
    GiveUp(u32),
}

impl Probe {
    pub(crate) fn new(terms: ProbeTerms, gateway: &str, now: Timestamp) -> Self {
        Self {
            terms,
            mark: format!("{gateway}/{}/", now.as_unix_ms()),
            asked: None,
            due: None,
            number: 0,
            out: VecDeque::new(),
            health: Health::Untested,
            proven: false,
        }
    }

    pub(crate) fn topic(&self) -> &TopicNameBuf {
        &self.terms.topic
    }

    pub(crate) fn interval(&self) -> Duration {
        self.terms.interval
    }

    pub(crate) fn health(&self) -> Health {
        self.health
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    pub(crate) fn prove(&mut self) {
        self.proven = true;
    }

    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Upstream has answered the subscription.
    pub(crate) fn subscribed(&mut self, now: Timestamp, granted: bool) {
        self.asked = None;
        match granted {
            true => self.due = Some(now),
            false => self.health = Health::Untestable,
        }
    }

    /// It is time. `is_blocked` says that upstream does not take what is sent, so that nobody can say whether the last has left.
    pub(crate) fn step(&mut self, now: Timestamp, is_blocked: bool) -> Option<Step> {
        self.due.filter(|due| *due <= now)?;
        if !self.out.is_empty() && !is_blocked {
            let missing = match self.health {
                Health::Degraded { missing } => missing.saturating_add(1),
                _ => 1,
            };
            self.health = Health::Degraded { missing };
            let most = self.terms.missing;
            // Who never let one through may forbid the topic, which is no reason to leave.
            if self.proven && most > 0 && missing >= most {
                return Some(Step::GiveUp(missing));
            }
        }
        self.due = Some(now.after(self.terms.interval));
        self.number += 1;
        if self.out.len() == OUT_MAX {
            self.out.pop_front();
        }
        self.out.push_back((self.number, now));
        Some(Step::Send(format!("{}{}", self.mark, self.number)))
    }

    /// Something came by the topic; false if it is no probe of this connection.
    pub(crate) fn returned(&mut self, now: Timestamp, token: &[u8]) -> bool {
        let number = std::str::from_utf8(token).ok().and_then(|it| it.strip_prefix(&self.mark));
        let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else {
            return false;
        };
        let Some((_, sent)) = self.out.iter().find(|(out, _)| *out == number) else { return false };
        self.health = Health::Healthy { round_trip: now.since(*sent) };
        self.proven = true;
        // Those before it do not come any more.
        self.out.retain(|(out, _)| *out > number);
        true
    }
}

#[cfg(test)]
mod tests {
    use mqtt::TopicName;

    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1000)
    }

    fn probe(missing: u32) -> Probe {
        let terms = ProbeTerms {
            topic: TopicName::new("p").unwrap().to_owned(),
            interval: Duration::from_secs(10),
            missing,
        };
        let mut probe = Probe::new(terms, "gw", at(0));
        assert_eq!((probe.step(at(99), false), probe.due()), (None, None), "not before it is let");
        probe.subscribed(at(0), true);
        probe
    }

    fn token(step: Option<Step>) -> String {
        match step {
            Some(Step::Send(token)) => token,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_probe_that_comes_back_is_health_and_one_that_does_not_is_none() {
        let mut probe = probe(2);
        let first = token(probe.step(at(0), false));
        assert_eq!((probe.due(), probe.health()), (Some(at(10)), Health::Untested));
        assert!(probe.returned(at(1), first.as_bytes()));
        assert_eq!(probe.health(), Health::Healthy { round_trip: Duration::from_secs(1) });
        assert!(!probe.returned(at(1), first.as_bytes()), "once is enough");
        let second = token(probe.step(at(10), false));
        let third = token(probe.step(at(20), false));
        assert_eq!(probe.health(), Health::Degraded { missing: 1 });
        // Late is better than never, and what was sent before it is not waited for.
        assert!(probe.returned(at(23), third.as_bytes()));
        assert!(!probe.returned(at(23), second.as_bytes()));
        assert_eq!(probe.health(), Health::Healthy { round_trip: Duration::from_secs(3) });
        token(probe.step(at(30), false));
        token(probe.step(at(40), false));
        assert_eq!(probe.step(at(50), false), Some(Step::GiveUp(2)));
    }

    #[test]
    fn who_never_let_one_through_is_not_left() {
        let mut probe = probe(1);
        for turn in 0..5 {
            token(probe.step(at(turn * 10), false));
        }
        assert_eq!(probe.health(), Health::Degraded { missing: 4 });
        probe.prove();
        assert_eq!(probe.step(at(50), false), Some(Step::GiveUp(5)));
    }

    #[test]
    fn what_may_not_have_left_is_not_missing_and_what_is_anothers_is_no_answer() {
        let mut probe = probe(1);
        probe.prove();
        token(probe.step(at(0), false));
        token(probe.step(at(10), true));
        assert_eq!(probe.health(), Health::Untested);
        for other in ["gw/0/7", "gx/0/1", "gw/1/1", "gw/0/", "", "gw/0/-1"] {
            assert!(!probe.returned(at(11), other.as_bytes()), "{other}");
        }
        assert!(!probe.returned(at(11), &[0xFF]));
    }

    #[test]
    fn a_topic_that_upstream_does_not_grant_says_nothing() {
        let mut probe = probe(1);
        probe.subscribed(at(0), false);
        assert_eq!(probe.health(), Health::Untestable);
    }
}
