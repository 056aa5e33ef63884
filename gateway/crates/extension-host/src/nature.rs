//! What a guest cannot know by computing: the time and chance.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::guest::Ended;

/// Where time and random numbers come from. A test or a replay puts its own in place of the machine's.
pub trait Nature: fmt::Debug + Send + Sync {
    /// Time since 1970-01-01T00:00:00Z.
    fn now(&self) -> Duration;

    /// Time since some moment; never goes back.
    fn monotonic(&self) -> Duration;

    /// Fills `bytes` with random ones.
    ///
    /// # Errors
    /// The operating system's sentence; the call of the guest that asked ends with it.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), String>;
}

impl dyn Nature {
    /// So many random bytes.
    pub(crate) fn random(&self, count: usize) -> wasmtime::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes).map_err(Ended::error)?;
        Ok(bytes)
    }
}

/// The machine's clocks and its generator of random numbers.
#[derive(Debug)]
pub(crate) struct Machine {
    started: Instant,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Nature for Machine {
    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
        getrandom::getrandom(bytes)
            .map_err(|error| format!("the operating system gives no random numbers: {error}"))
    }
}
