//! How quickly a guest answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Nanoseconds on average up to which a guest may be asked where others wait for the same thread.
const QUICK_NS: u64 = 20_000;
/// What a guest begins with that nobody knows: it is quick after about thirty quick answers.
const UNKNOWN_NS: u64 = 1_000_000;
/// What a fault counts for: it takes about a hundred and fifty quick answers to make up for it.
const FAULT_NS: u64 = 10_000_000_000_000;

/// A moving average of the time that answers take, in nanoseconds. Updates that cross may lose one another.
#[derive(Debug)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    pub(crate) fn unknown() -> Self {
        Self(AtomicU64::new(UNKNOWN_NS))
    }

    pub(crate) fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(FAULT_NS).min(FAULT_NS);
        let average = self.0.load(Ordering::Relaxed);
        self.0.store(average - average / 8 + took / 8, Ordering::Relaxed);
    }

    /// The guest failed.
    pub(crate) fn spoil(&self) {
        self.0.store(FAULT_NS, Ordering::Relaxed);
    }

    /// Answers that take two milliseconds together, at least one.
    pub(crate) fn in_two_ms(&self) -> usize {
        let average = self.0.load(Ordering::Relaxed).max(500);
        usize::try_from(2_000_000 / average).unwrap_or(1).max(1)
    }

    pub(crate) fn is_quick(&self) -> bool {
        self.0.load(Ordering::Relaxed) <= QUICK_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of a microsecond until it is quick.
    fn needed(pace: &Pace) -> u32 {
        (0..1000)
            .find(|_| {
                let quick = pace.is_quick();
                pace.note(Duration::from_micros(1));
                quick
            })
            .unwrap()
    }

    #[test]
    fn a_guest_becomes_quick_by_quick_answers_and_one_fault_costs_it_that() {
        let pace = Pace::unknown();
        let first = needed(&pace);
        assert!((20..60).contains(&first), "{first}");
        pace.spoil();
        assert!(!pace.is_quick());
        let again = needed(&pace);
        assert!((100..200).contains(&again), "{again}");
        for _ in 0..20 {
            pace.note(Duration::from_millis(1));
        }
        assert!(!pace.is_quick());
    }
}
