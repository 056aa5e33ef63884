//! Leaves a guest alone that keeps failing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::extension::lock;
use crate::spec::BreakerSettings;

/// Counts failures in a row; beyond the settings' number, calls are turned away until a single probe,
/// made after a time that doubles, succeeds.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
    /// There are failures that no success has followed. Nearly always there are none, and nobody needs the lock then.
    troubled: AtomicBool,
    row: Mutex<Row>,
}

#[derive(Debug, Default)]
struct Row {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Instant,
    backoff: Duration,
}

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Self { settings, troubled: AtomicBool::new(false), row: Mutex::default() }
    }

    /// Whether a call may be made at `now`; the error is the time until it may. Letting a probe through
    /// moves the time of the next one, so that one caller at a time probes even if it never reports.
    pub(crate) fn admit(&self, now: impl FnOnce() -> Instant) -> Result<(), Duration> {
        if !self.is_troubled() {
            return Ok(());
        }
        let mut row = lock(&self.row);
        let Some(open) = &mut row.open else { return Ok(()) };
        let now = now();
        match open.until.checked_duration_since(now) {
            Some(left) if !left.is_zero() => Err(left),
            _ => {
                open.until = now + open.backoff;
                Ok(())
            }
        }
    }

    /// Whether calls are made without a thought.
    pub(crate) fn is_closed(&self) -> bool {
        !self.is_troubled() || lock(&self.row).open.is_none()
    }

    /// How long calls are turned away from `now` on; none if the next is let through.
    pub(crate) fn rests_for(&self, now: Instant) -> Option<Duration> {
        let open = lock(&self.row).open?;
        let left = open.until.checked_duration_since(now)?;
        Some(left).filter(|left| !left.is_zero())
    }

    pub(crate) fn succeeded(&self) {
        if self.is_troubled() {
            let mut row = lock(&self.row);
            *row = Row::default();
            self.troubled.store(false, Ordering::Relaxed);
        }
    }

    /// Returns whether this failure opened the breaker.
    pub(crate) fn failed(&self, now: Instant) -> bool {
        let mut row = lock(&self.row);
        self.troubled.store(true, Ordering::Relaxed);
        row.failures = row.failures.saturating_add(1);
        if row.failures < self.settings.failures {
            return false;
        }
        let opened = row.open.is_none();
        let backoff = match row.open {
            None => self.settings.backoff_first,
            Some(open) => (open.backoff * 2).min(self.settings.backoff_max),
        };
        row.open = Some(Open { until: now + backoff, backoff });
        opened
    }

    /// It is written under the lock, so that the last word is that of the last to have had it.
    fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings { failures: 3, backoff_first: S, backoff_max: 4 * S })
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let (b, now) = (breaker(), Instant::now());
        for _ in 0..5 {
            b.failed(now);
            b.failed(now);
            b.succeeded();
        }
        assert_eq!(b.admit(|| now), Ok(()));
        assert!(b.is_closed());
    }

    #[test]
    fn opens_probes_once_and_doubles_up_to_the_ceiling() {
        let (b, t0) = (breaker(), Instant::now());
        assert!(!b.failed(t0) && !b.failed(t0) && b.failed(t0));
        assert_eq!(b.admit(|| t0), Err(S));
        assert_eq!(
            [t0, t0 + S / 2, t0 + S].map(|at| b.rests_for(at)),
            [Some(S), Some(S / 2), None]
        );

        let mut now = t0;
        for backoff in [S, 2 * S, 4 * S, 4 * S] {
            assert!(b.admit(|| now + backoff - S / 10).is_err());
            now += backoff;
            assert_eq!(b.admit(|| now), Ok(()), "the probe");
            assert!(!b.is_closed());
            assert!(b.admit(|| now).is_err(), "only one probe");
            assert!(!b.failed(now), "open already");
        }
        now += 4 * S;
        assert_eq!(b.admit(|| now), Ok(()));
        b.succeeded();
        assert_eq!(b.admit(|| now), Ok(()));
        assert!(!b.failed(now), "closed: counts from the start again");
    }

    #[test]
    fn a_probe_that_never_reports_does_not_block_the_next() {
        let (b, t0) = (breaker(), Instant::now());
        for _ in 0..3 {
            b.failed(t0);
        }
        assert_eq!(b.admit(|| t0 + S), Ok(()));
        assert_eq!(b.admit(|| t0 + 2 * S), Ok(()));
    }
}
