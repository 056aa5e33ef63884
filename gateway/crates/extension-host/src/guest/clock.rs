//! `portcullis:host/clock`

use serde_json::json;

use super::Guest;
use crate::bindings::portcullis::host::clock;

impl clock::Host for Guest {
    fn now_ms(&mut self) -> u64 {
        self.taped(
            "clock.now-ms",
            || json!([]),
            |guest| u64::try_from(guest.services.nature.now().as_millis()).unwrap_or(u64::MAX),
        )
    }

    fn monotonic_ns(&mut self) -> u64 {
        self.taped(
            "clock.monotonic-ns",
            || json!([]),
            |guest| u64::try_from(guest.services.nature.monotonic().as_nanos()).unwrap_or(u64::MAX),
        )
    }
}
