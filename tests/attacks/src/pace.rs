use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How far behind somebody may be and still catch up.
const BEHIND: Duration = Duration::from_millis(200);

/// Lets something happen so many times a second.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pace {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), due: Instant::now() }
    }

    /// Waits until it is time for the next one.
    pub(crate) async fn next(&mut self) {
        let now = Instant::now();
        if now > self.due + BEHIND {
            self.due = now;
        }
        if self.due > now {
            sleep_until(self.due).await;
        }
        self.due += self.interval;
    }
}
