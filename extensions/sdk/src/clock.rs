//! The time. Reading it needs the grant `clock`.

use std::time::Duration;

use crate::bindings::portcullis::host::clock as host;

/// Time since 1970-01-01T00:00:00Z; may go back when the clock is set.
#[must_use]
pub fn now() -> Duration {
    Duration::from_millis(host::now_ms())
}

/// Time since some moment; never goes back.
#[must_use]
pub fn monotonic() -> Duration {
    Duration::from_nanos(host::monotonic_ns())
}
