//! `portcullis:host/clock`

use super::Guest;
use crate::bindings::portcullis::host::clock;

impl clock::Host for Guest {
    fn now_ms(&mut self) -> u64 {
        u64::try_from(self.services.nature.now().as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_ns(&mut self) -> u64 {
        u64::try_from(self.services.nature.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }
}
