/// A token bucket: `burst` tokens at most, which come back at `rate` a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Thousandths of tokens that are there at `at`.
    thousandths: u64,
    /// Milliseconds.
    at: u64,
}

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Tokens a second, which are thousandths a millisecond.
    pub(crate) rate: u64,
    pub(crate) burst: u64,
}

impl Flow {
    /// So many times as much.
    pub(crate) fn times(self, share: u32) -> Self {
        let share = u64::from(share);
        Self { rate: self.rate.saturating_mul(share), burst: self.burst.saturating_mul(share) }
    }

    fn capacity(self) -> u64 {
        self.burst.saturating_mul(1000)
    }
}

impl Bucket {
    /// A full one.
    pub(crate) fn full(now: u64, flow: Flow) -> Self {
        Self { thousandths: flow.capacity(), at: now }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: u64, flow: Flow) -> bool {
        let held = self.held(now, flow);
        let left = held.checked_sub(1000);
        (self.thousandths, self.at) = (left.unwrap_or(held), now.max(self.at));
        left.is_some()
    }

    /// Whether nothing is missing, so that the bucket may be forgotten.
    pub(crate) fn is_full(&self, now: u64, flow: Flow) -> bool {
        self.held(now, flow) >= flow.capacity()
    }

    /// Whether more than half of it is missing.
    pub(crate) fn is_low(&self, now: u64, flow: Flow) -> bool {
        self.held(now, flow) < flow.capacity() / 2
    }

    fn held(&self, now: u64, flow: Flow) -> u64 {
        let come = now.saturating_sub(self.at).saturating_mul(flow.rate);
        self.thousandths.saturating_add(come).min(flow.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: Flow = Flow { rate: 2, burst: 3 };

    #[test]
    fn tokens_come_back_at_the_rate_and_no_more_than_the_burst() {
        let mut bucket = Bucket::full(0, FLOW);
        let taken = |bucket: &mut Bucket, now| (0..10).filter(|_| bucket.take(now, FLOW)).count();
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 499), 0);
        assert_eq!(taken(&mut bucket, 500), 1);
        assert_eq!(taken(&mut bucket, 1500), 2);
        assert!(!bucket.is_full(2999, FLOW) && bucket.is_full(3000, FLOW));
        assert_eq!(taken(&mut bucket, 1_000_000), 3);
    }

    #[test]
    fn a_clock_that_runs_backwards_gives_nothing() {
        let mut bucket = Bucket::full(10_000, FLOW);
        assert!((0..3).all(|_| bucket.take(10_000, FLOW)));
        assert!(!bucket.take(5_000, FLOW) && !bucket.take(10_499, FLOW));
        assert!(bucket.take(10_500, FLOW));
    }
}
