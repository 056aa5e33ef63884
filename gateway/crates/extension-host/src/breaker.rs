//! Leaves a guest alone that keeps failing.

use std::time::{Duration, Instant};

use crate::spec::BreakerSettings;

/// Counts failures in a row; beyond the settings' number, calls are turned away until a single probe,
/// made after a time that doubles, succeeds.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
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
        Self { settings, failures: 0, open: None }
    }

    /// Whether a call may be made at `now`; the error is the time until it may. Letting a probe through
    /// moves the time of the next one, so that one caller at a time probes even if it never reports.
    pub(crate) fn admit(&mut self, now: impl FnOnce() -> Instant) -> Result<(), Duration> {
        let Some(open) = &mut self.open else { return Ok(()) };
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
        self.open.is_none()
    }

    /// How long calls are turned away from `now` on; none if the next is let through.
    pub(crate) fn rests_for(&self, now: Instant) -> Option<Duration> {
        let left = self.open?.until.checked_duration_since(now)?;
        Some(left).filter(|left| !left.is_zero())
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.open = None;
    }

    /// Returns whether this failure opened the breaker.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < self.settings.failures {
            return false;
        }
        let opened = self.open.is_none();
        let backoff = match self.open {
            None => self.settings.backoff_first,
            Some(open) => (open.backoff * 2).min(self.settings.backoff_max),
        };
        self.open = Some(Open { until: now + backoff, backoff });
        opened
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
        let (mut b, now) = (breaker(), Instant::now());
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
        let (mut b, t0) = (breaker(), Instant::now());
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
        let (mut b, t0) = (breaker(), Instant::now());
        for _ in 0..3 {
            b.failed(t0);
        }
        assert_eq!(b.admit(|| t0 + S), Ok(()));
        assert_eq!(b.admit(|| t0 + 2 * S), Ok(()));
    }
}
