//! The time by which certificates are judged.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// What the time was at least, and when.
static FLOOR: OnceLock<(SystemTime, Instant)> = OnceLock::new();

/// From now on the time is taken to be no earlier than `floor` and what passes from here: for machines whose clock is not
/// set yet. The first call counts.
pub fn hold_time(floor: SystemTime) {
    FLOOR.get_or_init(|| (floor, Instant::now()));
}

pub(crate) fn now() -> SystemTime {
    let now = SystemTime::now();
    match FLOOR.get() {
        Some((floor, since)) => now.max(*floor + since.elapsed()),
        None => now,
    }
}

/// The same for the library that looks at certificates.
pub(crate) fn unix_time() -> UnixTime {
    UnixTime::since_unix_epoch(
        now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO),
    )
}

/// Hands it to each handshake.
#[derive(Debug)]
pub(crate) struct Held;

impl TimeProvider for Held {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time())
    }
}
