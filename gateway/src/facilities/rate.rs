use std::time::{Duration, Instant};

/// So many in a second, of which as many may come at once.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: u32,
    /// Each stands for one that may come.
    tokens: f64,
    filled: Instant,
}

impl Rate {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, tokens: f64::from(per_second), filled: now }
    }

    /// Whether one more may come at `now`.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.filled);
        let most = f64::from(self.per_second);
        self.tokens = (self.tokens + passed.as_secs_f64() * most).min(most);
        self.filled = now;
        let may = self.tokens >= 1.0;
        if may {
            self.tokens -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_at_once_and_no_more_over_time() {
        let start = Instant::now();
        let mut rate = Rate::new(10, start);
        let mut taken = |after_ms: u64| {
            let now = start + Duration::from_millis(after_ms);
            (0..100).filter(|_| rate.take(now)).count()
        };
        assert_eq!(taken(0), 10);
        assert_eq!(taken(50), 0);
        assert_eq!(taken(350), 3);
        assert_eq!(taken(60_000), 10);
    }
}
