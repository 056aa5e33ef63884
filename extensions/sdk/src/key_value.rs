//! What the extension keeps: on disk, for all of its instances and versions, also after a restart. Needs the grant `key-value`.
//!
//! What changes something returns when it is on disk, and waits for that some milliseconds.
//!
//! ```no_run
//! use portcullis_extension::{HookError, key_value};
//!
//! fn first_visit(device: &str) -> Result<bool, HookError> {
//!     // True for one caller only, whatever instance it is in.
//!     Ok(key_value::compare_and_set(&format!("seen/{device}"), None, Some(b"1"))?)
//! }
//! ```

use crate::HookError;
use crate::bindings::portcullis::host::key_value as host;
pub use host::{KeyPage, StoreError};

/// The value under a key; none when there is none.
#[must_use]
pub fn get(key: &str) -> Option<Vec<u8>> {
    host::get(key)
}

/// Puts a value under a key, whatever was there.
///
/// # Errors
/// Why it is not kept.
pub fn set(key: &str, value: &[u8]) -> Result<(), StoreError> {
    host::set(key, value)
}

/// Removes a key; answers whether it was there.
///
/// # Errors
/// Why it may be there still.
pub fn delete(key: &str) -> Result<bool, StoreError> {
    host::delete(key)
}

/// Puts `value` under a key, or removes the key, if exactly `expected` is there now; answers whether it was so.
///
/// # Errors
/// Why it is not known.
pub fn compare_and_set(
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<bool, StoreError> {
    host::compare_and_set(key, expected, value)
}

/// Adds to a number, which begins at 0, and gives the sum.
///
/// # Errors
/// Why it is not counted.
pub fn increment(key: &str, by: i64) -> Result<i64, StoreError> {
    host::increment(key, by)
}

/// Keys that begin with `prefix` and come after `after`, at most `limit` and at most 1000.
#[must_use]
pub fn keys(prefix: &str, after: Option<&str>, limit: u32) -> KeyPage {
    host::list_keys(prefix, after, limit)
}

impl StoreError {
    /// A sentence for the log.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Invalid(why)
            | Self::QuotaExceeded(why)
            | Self::Unavailable(why)
            | Self::Other((_, why)) => why,
        }
    }
}

/// What a hook answers that cannot go on without it.
impl From<StoreError> for HookError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Invalid(why) => Self::Internal(why),
            other => Self::Unavailable(other.why().to_owned()),
        }
    }
}
