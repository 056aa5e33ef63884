use std::num::NonZeroU32;
use std::time::Duration;

use session::{Bucket, Timestamp};

/// How fast messages go upstream; what is `None` has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Messages in a second, in the mean.
    pub messages: Option<NonZeroU32>,
    /// Bytes of their packets in a second, in the mean.
    pub bytes: Option<NonZeroU32>,
    /// Of the messages that waited before the connection was made, those in a second.
    pub drain: Option<NonZeroU32>,
}

/// What may go at once after a quiet time: what a tenth of a second brings.
const BURST_DIVISOR: u32 = 10;

/// The shortest sleep for the sake of a pace: shorter ones would cost more than what they send.
const NAP: Duration = Duration::from_millis(5);

/// A pace, and what was sent at it.
#[derive(Debug)]
pub(crate) struct Pacer {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
    drain: Option<Bucket>,
}

impl Pacer {
    pub(crate) fn new(pace: Pace, now: Timestamp) -> Self {
        let bucket = |rate: NonZeroU32| Bucket::new(rate.get(), rate.get() / BURST_DIVISOR, now);
        Self {
            messages: pace.messages.map(bucket),
            bytes: pace.bytes.map(bucket),
            drain: pace.drain.map(bucket),
        }
    }

    /// Whether one more message may go; `waited` says that it did so before the connection was made.
    pub(crate) fn allows(&mut self, now: Timestamp, waited: bool) -> bool {
        self.all(waited).all(|bucket| bucket.has_one(now))
    }

    /// A message of so many bytes went.
    pub(crate) fn spend(&mut self, now: Timestamp, bytes: usize) {
        for (bucket, tokens) in [(&mut self.messages, 1), (&mut self.bytes, bytes)] {
            if let Some(bucket) = bucket {
                bucket.take(now, tokens);
            }
        }
    }

    /// A message that waited goes, alone or with others.
    pub(crate) fn drained(&mut self, now: Timestamp) {
        if let Some(drain) = self.drain.as_mut() {
            drain.take(now, 1);
        }
    }

    /// When one more may go. `now` is when that was last asked.
    pub(crate) fn next(&mut self, now: Timestamp, waited: bool) -> Timestamp {
        match self.all(waited).map(|bucket| bucket.one_at()).max() {
            Some(at) if at > now => at.max(now.after(NAP)),
            _ => now,
        }
    }

    fn all(&mut self, waited: bool) -> impl Iterator<Item = &mut Bucket> {
        let drain = self.drain.as_mut().filter(|_| waited);
        [self.messages.as_mut(), self.bytes.as_mut(), drain].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of `bytes` each that go in ten seconds.
    fn in_ten_seconds(pace: Pace, bytes: usize, waited: bool) -> u32 {
        let mut now = Timestamp::from_unix_ms(1_000_000);
        let end = now.after(Duration::from_secs(10));
        let mut pacer = Pacer::new(pace, now);
        let mut sent = 0;
        while now < end {
            while pacer.allows(now, waited) {
                pacer.spend(now, bytes);
                if waited {
                    pacer.drained(now);
                }
                sent += 1;
            }
            let next = pacer.next(now, waited);
            assert!(next >= now.after(NAP), "it naps");
            now = next;
        }
        sent
    }

    #[test]
    fn each_limit_holds_and_the_strictest_counts() {
        let rate = NonZeroU32::new;
        let pace = |messages, bytes, drain| Pace {
            messages: rate(messages),
            bytes: rate(bytes),
            drain: rate(drain),
        };
        for (pace, waited, expected) in [
            (pace(5000, 0, 0), false, 50_000),
            (pace(1, 0, 0), false, 10),
            (pace(5000, 0, 300), true, 3000),
            (pace(5000, 0, 300), false, 50_000),
            (pace(5000, 1000, 0), false, 100),
        ] {
            let sent = in_ten_seconds(pace, 100, waited);
            let most = expected + expected / 50 + 1;
            assert!((expected..=most).contains(&sent), "{pace:?}: {sent}");
        }
        let now = Timestamp::from_unix_ms(7);
        let mut free = Pacer::new(Pace::default(), now);
        assert!(free.allows(now, true));
        assert_eq!(free.next(now, true), now);
    }
}
