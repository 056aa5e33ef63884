//! How long a guest has been running.

use std::time::{Duration, Instant};

use crate::ticker::TICK;

/// The time budget of one call: wall time inside the guest, without the time the gateway took for it.
#[derive(Debug)]
pub(crate) struct CallClock {
    started: Instant,
    budget: Duration,
    outside: Duration,
    overrun: bool,
}

impl CallClock {
    pub(crate) fn start(budget: Duration) -> Self {
        Self { started: Instant::now(), budget, outside: Duration::ZERO, overrun: false }
    }

    /// Ticks after which to look again, or nothing when the budget is spent.
    pub(crate) fn ticks_left(&mut self) -> Option<u64> {
        let inside = self.started.elapsed().saturating_sub(self.outside);
        if inside >= self.budget {
            self.overrun = true;
            return None;
        }
        Some(ticks(self.budget - inside))
    }

    /// How long the guest may wait for something: what is left of its budget but for an eighth, in which it can
    /// still say what it makes of that.
    pub(crate) fn may_wait(&self) -> Duration {
        let inside = self.started.elapsed().saturating_sub(self.outside);
        let left = self.budget.saturating_sub(inside);
        left - left / 8
    }

    /// When the call began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes note of time that the gateway spent on behalf of the guest.
    pub(crate) fn spent_outside(&mut self, time: Duration) {
        self.outside += time;
    }

    pub(crate) fn overrun(&self) -> bool {
        self.overrun
    }
}

/// Whole ticks in `time`, at least one: a deadline of none would stop the guest at once.
pub(crate) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_micros() / TICK.as_micros()).unwrap_or(u64::MAX / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outside_the_guest_does_not_count() {
        let mut clock = CallClock::start(Duration::from_millis(20));
        std::thread::sleep(Duration::from_millis(40));
        clock.spent_outside(Duration::from_secs(1));
        assert!(clock.ticks_left().is_some());

        let mut clock = CallClock::start(Duration::from_millis(20));
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(clock.ticks_left(), None);
        assert!(clock.overrun());
    }

    #[test]
    fn a_wait_leaves_time_to_answer() {
        let clock = CallClock::start(Duration::from_secs(80));
        let wait = clock.may_wait();
        assert!(wait <= Duration::from_secs(70) && wait > Duration::from_secs(69), "{wait:?}");
        assert_eq!(CallClock::start(Duration::ZERO).may_wait(), Duration::ZERO);
    }

    #[test]
    fn at_least_one_tick() {
        assert_eq!(ticks(Duration::ZERO), 1);
        assert_eq!(ticks(TICK * 7), 7);
    }
}
