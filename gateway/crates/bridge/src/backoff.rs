use std::time::Duration;

/// How long to wait before the next attempt: longer after each that failed, and never as long as others who failed at
/// the same moment (decorrelated jitter).
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    last: Duration,
}

impl Backoff {
    /// Waits from `least` to `most`.
    #[must_use]
    pub fn new(least: Duration, most: Duration) -> Self {
        Self { least, most: most.max(least), last: least }
    }

    /// The next wait: from the least to three times the one before. `random` is any number.
    pub fn next_wait(&mut self, random: u64) -> Duration {
        let least = self.least.as_millis();
        let room = (self.last.as_millis() * 3).saturating_sub(least) + 1;
        let wait = least + u128::from(random) % room;
        self.last = Duration::from_millis(u64::try_from(wait).unwrap_or(u64::MAX)).min(self.most);
        self.last
    }

    /// A connection has ended that lasted so long. Only one that outlived the longest wait shows that all is well: one that is
    /// closed as soon as it is open would otherwise be made anew for ever.
    pub fn connection_lasted(&mut self, time: Duration) {
        if time > self.most {
            self.last = self.least;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_their_limits_and_begin_anew_after_a_long_connection() {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(60));
        let mut backoff = Backoff::new(least, most);
        let mut random = 1_u64;
        let mut waits = Vec::new();
        for _ in 0..1000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            waits.push(backoff.next_wait(random >> 33));
        }
        assert!(waits.iter().all(|wait| (least..=most).contains(wait)));
        assert!(waits.contains(&most), "it reaches the longest");
        let distinct: std::collections::BTreeSet<_> = waits.iter().collect();
        assert!(distinct.len() > 100, "they differ: {}", distinct.len());
        backoff.connection_lasted(most);
        backoff.connection_lasted(most + least);
        assert!(backoff.next_wait(u64::MAX) <= least * 3);
    }
}
