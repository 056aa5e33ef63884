use std::time::Duration;

use crate::Timestamp;

/// The longest that a take may make those behind it wait. What costs more than this much time brings counts as that: otherwise a
/// packet that is large beside its rate would stop a connection for hours.
const DEBT_MAX: Duration = Duration::from_secs(60);

/// Thousandths of a token: what a millisecond brings at one token a second.
const TOKEN: i64 = 1000;

/// How much of something may happen in a time: so many tokens a second, of which some may be saved up.
///
/// What takes more than there is, is let through as a whole once there is one token, and those behind it wait longer. So the mean holds
/// whatever the size of what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    per_second: u32,
    burst: u32,
    /// In thousandths; below zero is what was taken ahead.
    level: i64,
    /// When that was the level.
    at: Timestamp,
}

impl Bucket {
    /// A full bucket that gains `per_second` tokens and holds `burst`, each at least 1.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: Timestamp) -> Self {
        let (per_second, burst) = (per_second.max(1), burst.max(1));
        Self { per_second, burst, level: i64::from(burst) * TOKEN, at: now }
    }

    /// Whether there is a token.
    pub fn has_one(&mut self, now: Timestamp) -> bool {
        self.refill(now);
        self.level >= TOKEN
    }

    /// Takes `tokens`, whether they are there or not.
    pub fn take(&mut self, now: Timestamp, tokens: usize) {
        self.refill(now);
        let cost = i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(TOKEN);
        self.level = self.level.saturating_sub(cost).max(-self.gain(DEBT_MAX));
    }

    /// When there is a token, if nothing is taken until then.
    #[must_use]
    pub fn one_at(&self) -> Timestamp {
        self.reaches(TOKEN)
    }

    /// When it is full, if nothing is taken until then.
    #[must_use]
    pub fn full_at(&self) -> Timestamp {
        self.reaches(i64::from(self.burst) * TOKEN)
    }

    fn reaches(&self, level: i64) -> Timestamp {
        let lacking = u64::try_from(level.saturating_sub(self.level)).unwrap_or(0);
        self.at.after(Duration::from_millis(lacking.div_ceil(self.per_second.into())))
    }

    fn refill(&mut self, now: Timestamp) {
        let gained = self.gain(now.since(self.at));
        self.level = self.level.saturating_add(gained).min(i64::from(self.burst) * TOKEN);
        self.at = self.at.max(now);
    }

    fn gain(&self, time: Duration) -> i64 {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        ms.saturating_mul(self.per_second.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(1_000_000 + ms)
    }

    #[test]
    fn what_was_saved_up_may_come_at_once_and_then_the_rate_holds() {
        let mut bucket = Bucket::new(10, 3, at(0));
        let mut passed = Vec::new();
        for ms in 0..1000 {
            while bucket.has_one(at(ms)) {
                bucket.take(at(ms), 1);
                passed.push(ms);
            }
        }
        assert_eq!(passed, [0, 0, 0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
        assert_eq!((bucket.one_at(), bucket.full_at()), (at(1000), at(1200)));
    }

    #[test]
    fn what_is_larger_than_the_bucket_passes_and_is_paid_for_later() {
        let mut bucket = Bucket::new(1000, 500, at(0));
        bucket.take(at(0), 5500);
        assert!(!bucket.has_one(at(5000)), "five seconds pay for what was lacking");
        assert_eq!(bucket.one_at(), at(5001));
        assert!(bucket.has_one(at(5001)));
    }

    #[test]
    fn no_wait_is_longer_than_a_minute() {
        let mut bucket = Bucket::new(1, 1, at(0));
        for tokens in [1 << 20, usize::MAX] {
            bucket.take(at(0), tokens);
            assert_eq!(bucket.one_at(), at(61_000));
        }
    }

    #[test]
    fn no_more_is_saved_up_than_it_holds_and_no_rate_is_zero() {
        let mut bucket = Bucket::new(0, 0, at(0));
        assert!(bucket.has_one(Timestamp::from_unix_ms(u64::MAX)));
        bucket.take(Timestamp::from_unix_ms(u64::MAX), 1);
        assert!(!bucket.has_one(Timestamp::from_unix_ms(u64::MAX)));
        assert!(!bucket.has_one(at(0)), "time does not go back");
    }
}
