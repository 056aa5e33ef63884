//! Changes, and what becomes of them.

use std::{fmt, sync::Arc, time::Duration};

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Puts a value there.
    Set {
        /// Where.
        key: String,
        /// What.
        value: Vec<u8>,
    },
    /// Removes what is there.
    Delete {
        /// Where.
        key: String,
    },
    /// Puts a value there, or removes what is there, if that is what is expected.
    CompareAndSet {
        /// Where.
        key: String,
        /// What must be there; `None` for nothing.
        expected: Option<Vec<u8>>,
        /// What is to be there; `None` for nothing.
        value: Option<Vec<u8>>,
    },
    /// Adds to the number that is there in decimal digits; without one, to 0.
    Increment {
        /// Where.
        key: String,
        /// What is added.
        delta: i64,
    },
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is so.
    Done,
    /// Nothing was there to delete, or something else than what was expected.
    Unchanged,
    /// The sum.
    Number(i64),
}

/// How much a space may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyValueQuota {
    /// Keys.
    pub keys: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValueError {
    /// The space has as many keys as it may have.
    Keys {
        /// Keys.
        limit: usize,
    },
    /// The space would have more bytes than it may have.
    Bytes {
        /// Bytes that there would be.
        wanted: usize,
        /// Bytes.
        limit: usize,
    },
    /// What is there is no number.
    NotANumber,
    /// Too many changes wait for the disk.
    Busy,
    /// It was not on disk in time. Whether it will be is not known.
    TimedOut(Duration),
    /// The disk refuses. Whether the change is there after a restart is not known.
    Disk(String),
    /// The gateway stops.
    Closed,
}

impl fmt::Display for KeyValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys { limit } => write!(f, "there are {limit} keys, as many as are granted"),
            Self::Bytes { wanted, limit } => {
                write!(f, "there would be {wanted} bytes, and {limit} are granted")
            }
            Self::NotANumber => f.write_str("what is there is no number"),
            Self::Busy => f.write_str("too many changes wait for the disk"),
            Self::TimedOut(wait) => {
                write!(f, "the disk did not answer within {} ms", wait.as_millis())
            }
            Self::Disk(why) => f.write_str(why),
            Self::Closed => f.write_str("the gateway stops"),
        }
    }
}

impl std::error::Error for KeyValueError {}

/// What a change makes of a value: an answer, and where something changes, what is there afterwards.
pub(super) type Judged = (Changed, Option<Option<Arc<[u8]>>>);

impl Change {
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Set { key, .. }
            | Self::Delete { key }
            | Self::CompareAndSet { key, .. }
            | Self::Increment { key, .. } => key,
        }
    }

    /// Judges the change where `there` is under its key.
    pub(super) fn judge(&self, there: Option<&[u8]>) -> Result<Judged, KeyValueError> {
        let put = |value: &[u8]| Some(Some(Arc::from(value)));
        Ok(match self {
            Self::Set { value, .. } => (Changed::Done, put(value)),
            Self::Delete { .. } if there.is_none() => (Changed::Unchanged, None),
            Self::Delete { .. } => (Changed::Done, Some(None)),
            Self::CompareAndSet { expected, .. } if expected.as_deref() != there => {
                (Changed::Unchanged, None)
            }
            Self::CompareAndSet { value, .. } => {
                (Changed::Done, Some(value.as_deref().map(Arc::from)))
            }
            Self::Increment { delta, .. } => {
                let sum = number(there)?.saturating_add(*delta);
                (Changed::Number(sum), put(sum.to_string().as_bytes()))
            }
        })
    }
}

fn number(there: Option<&[u8]>) -> Result<i64, KeyValueError> {
    let Some(bytes) = there else { return Ok(0) };
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| text.parse().ok()).ok_or(KeyValueError::NotANumber)
}
