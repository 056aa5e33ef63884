//! Time and chance of a case: both are what the case says, so that it comes out the same each time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use extension_host::Nature;

/// A clock that stands still until it is moved, and random numbers that follow from a seed.
#[derive(Debug)]
pub(crate) struct Staged(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Since 1970.
    now: Duration,
    /// Since the case began.
    passed: Duration,
    seed: u64,
}

impl Staged {
    pub(crate) fn new(now: Duration, seed: u64) -> Self {
        Self(Mutex::new(State { now, passed: Duration::ZERO, seed }))
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: Duration) {
        let mut state = self.lock();
        state.now = state.now.saturating_add(time);
        state.passed = state.passed.saturating_add(time);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nature for Staged {
    fn now(&self) -> Duration {
        self.lock().now
    }

    fn monotonic(&self) -> Duration {
        self.lock().passed
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
        let mut state = self.lock();
        for chunk in bytes.chunks_mut(8) {
            let number = next(&mut state.seed).to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(number) {
                *to = from;
            }
        }
        Ok(())
    }
}

/// SplitMix64: well mixed for any seed, and nothing that anybody would take for a secret.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(staged: &Staged) -> [u8; 12] {
        let mut bytes = [0; 12];
        staged.fill(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_seed_gives_the_same_numbers_and_time_passes_when_told() {
        let new = |seed| Staged::new(Duration::from_secs(100), seed);
        let (one, same, other) = (new(7), new(7), new(8));
        let first = bytes(&one);
        assert_eq!(first, bytes(&same));
        assert_ne!(first, bytes(&one));
        assert_ne!(first, bytes(&other));
        one.pass(Duration::from_secs(5));
        assert_eq!((one.now().as_secs(), one.monotonic().as_secs()), (105, 5));
    }
}
