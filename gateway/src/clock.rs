use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker::Timestamp;

/// The only place where the gateway asks for the time.
///
/// The wall clock is read once; from then on monotonic time is added, so that a clock
/// that is set back while the gateway runs neither expires nor prolongs anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    unix_ms: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            started: Instant::now(),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.unix_ms).after(self.started.elapsed())
    }

    /// Milliseconds since the Unix epoch, as the system says now. Unlike [`Clock::now`] it may jump.
    pub(crate) fn wall_ms(&self) -> u64 {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
    }

    /// The moment at which `at` will be, on the scheduler's clock.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        let ms = at.as_unix_ms().saturating_sub(self.unix_ms);
        self.started.checked_add(Duration::from_millis(ms)).unwrap_or_else(|| {
            // Beyond what an Instant can express: years away, so look again in a day.
            Instant::now() + Duration::from_secs(24 * 3600)
        })
    }
}
