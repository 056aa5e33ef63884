use std::time::{Duration, Instant};

use portcullis_attacks::Seen;

/// What the well-behaved client saw in a part of the time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phase {
    /// How long each message took, in order.
    latencies: Vec<Duration>,
    pub(crate) lost: usize,
    /// What failed.
    pub(crate) failed: Vec<String>,
    /// How long each newcomer took.
    pub(crate) newcomers: Vec<Duration>,
    /// Why newcomers were not let in.
    pub(crate) turned_away: Vec<String>,
}

impl Phase {
    /// What began from `from` on and before `to`.
    pub(crate) fn between(seen: &[Seen], from: Instant, to: Instant) -> Self {
        let mut phase = Self::default();
        let within = |at: &Instant| (from..to).contains(at);
        for one in seen {
            match one {
                Seen::Message { at, took } if within(at) => phase.latencies.push(*took),
                Seen::Lost { at } if within(at) => phase.lost += 1,
                Seen::Failed { at, what } if within(at) => phase.failed.push(what.clone()),
                Seen::Newcomer { at, took } if within(at) => phase.newcomers.push(*took),
                Seen::TurnedAway { at, what } if within(at) => phase.turned_away.push(what.clone()),
                _ => {}
            }
        }
        phase.latencies.sort_unstable();
        phase
    }

    /// Messages that came back.
    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    /// The time that `percent` of the messages did not exceed, in milliseconds; none without messages.
    pub(crate) fn percentile(&self, percent: usize) -> Option<f64> {
        let at = self.latencies.len().checked_sub(1)? * percent / 100;
        Some(self.latencies.get(at)?.as_secs_f64() * 1e3)
    }

    /// The longest way in, in milliseconds.
    pub(crate) fn slowest_newcomer(&self) -> Option<f64> {
        self.newcomers.iter().max().map(|took| took.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_belongs_to_the_phase_in_which_it_began() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let message = |ms, took| Seen::Message { at: at(ms), took: Duration::from_millis(took) };
        let seen = [
            message(0, 5),
            message(5, 1),
            message(9, 500),
            message(10, 1),
            Seen::Lost { at: at(9) },
        ];
        let phase = Phase::between(&seen, begin, at(10));
        assert_eq!((phase.count(), phase.lost), (3, 1));
        assert_eq!((phase.percentile(50), phase.percentile(100)), (Some(5.0), Some(500.0)));
        assert_eq!(Phase::default().percentile(99), None);
    }
}
