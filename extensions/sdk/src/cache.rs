//! What the extension wants to remember and could lose, in all of its instances. Needs the grant `cache`.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use portcullis_extension::cache;
//!
//! let window = Duration::from_secs(60);
//! if cache::increment("failures of sensor-17", 1, window) > 5 {
//!     // Refuse without asking anybody.
//! }
//! ```

use std::time::Duration;

use crate::bindings::portcullis::host::cache as host;

/// The value under a key; none when there is none or its time is over.
#[must_use]
pub fn get(key: &str) -> Option<Vec<u8>> {
    host::get(key)
}

/// Remembers a value for so long, at most 49 days.
pub fn put(key: &str, value: &[u8], time: Duration) {
    host::put(key, value, millis(time));
}

/// Forgets a value.
pub fn remove(key: &str) {
    host::remove(key);
}

/// Adds to a number, which begins at 0 and lasts for `time` from then, and gives the sum.
pub fn increment(key: &str, by: i64, time: Duration) -> i64 {
    host::increment(key, by, millis(time))
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
