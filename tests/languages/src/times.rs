//! How long calls take.

use std::fmt;
use std::time::{Duration, Instant};

/// Calls that are made before any is timed.
const WARM: usize = 200;
/// How long calls are timed, and how many at most.
const TIMED: Duration = Duration::from_secs(3);
const CALLS_MAX: usize = 100_000;

/// Of single calls.
pub(crate) struct Times {
    pub(crate) median: Duration,
    p99: Duration,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) ns", self.median.as_nanos(), self.p99.as_nanos())
    }
}

/// Calls again and again.
pub(crate) fn of(mut call: impl FnMut()) -> Times {
    for _ in 0..WARM {
        call();
    }
    let (until, mut all) = (Instant::now() + TIMED, Vec::with_capacity(CALLS_MAX));
    while all.len() < CALLS_MAX && Instant::now() < until {
        let began = Instant::now();
        call();
        all.push(began.elapsed());
    }
    all.sort_unstable();
    Times { median: all[all.len() / 2], p99: all[all.len() * 99 / 100] }
}
