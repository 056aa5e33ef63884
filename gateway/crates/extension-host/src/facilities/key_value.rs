use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a key at most; at least one.
pub const MAX_KEY_BYTES: usize = 256;
/// Bytes of a value at most.
pub const MAX_VALUE_BYTES: usize = 64 << 10;
/// Keys of a page at most.
pub const MAX_PAGE_KEYS: usize = 1000;

/// Where one extension keeps what it must not lose. Called by hooks: reading waits for nothing.
pub trait KeyValue: fmt::Debug + Send + Sync {
    /// The value under a key.
    fn get(&self, key: &str) -> Option<Arc<[u8]>>;

    /// At most `limit` keys that begin with `prefix` and come after `after`, in order; and whether there are more.
    fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> (Vec<String>, bool);

    /// Makes a change, and returns when it is durable, or after `wait`.
    ///
    /// # Errors
    /// Why it is not made, or may not be.
    fn change(
        &self,
        change: KeyValueChange,
        wait: Duration,
    ) -> Result<KeyValueChanged, KeyValueFault>;
}

/// A change of one key.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyValueChange {
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

/// Shows no value: it may be a secret.
impl fmt::Debug for KeyValueChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, key) = match self {
            Self::Set { key, .. } => ("Set", key),
            Self::Delete { key } => ("Delete", key),
            Self::CompareAndSet { key, .. } => ("CompareAndSet", key),
            Self::Increment { key, .. } => ("Increment", key),
        };
        f.debug_tuple(name).field(key).finish()
    }
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyValueChanged {
    /// It is so.
    Done,
    /// Nothing was there to delete, or something else than what was expected.
    Unchanged,
    /// The sum.
    Number(i64),
}

/// What comes of a change, and what is there afterwards if it changes anything.
pub type KeyValueJudged = (KeyValueChanged, Option<Option<Vec<u8>>>);

/// Why nothing was changed, each with a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValueFault {
    /// The change makes no sense.
    Invalid(String),
    /// There is no room in the grant.
    Quota(String),
    /// The disk refuses or takes too long.
    Unavailable(String),
}

impl KeyValueChange {
    /// What comes of it where `there` is under its key.
    ///
    /// # Errors
    /// What is there is no number, and something is to be added to it.
    pub fn judge(&self, there: Option<&[u8]>) -> Result<KeyValueJudged, KeyValueFault> {
        Ok(match self {
            Self::Set { value, .. } => (KeyValueChanged::Done, Some(Some(value.clone()))),
            Self::Delete { .. } if there.is_none() => (KeyValueChanged::Unchanged, None),
            Self::Delete { .. } => (KeyValueChanged::Done, Some(None)),
            Self::CompareAndSet { expected, .. } if expected.as_deref() != there => {
                (KeyValueChanged::Unchanged, None)
            }
            Self::CompareAndSet { value, .. } => (KeyValueChanged::Done, Some(value.clone())),
            Self::Increment { delta, .. } => {
                let number = there.map_or(Ok(0), |there| {
                    let text = std::str::from_utf8(there).unwrap_or_default();
                    text.parse::<i64>()
                        .map_err(|_| KeyValueFault::Invalid("what is there is no number".into()))
                });
                let sum = number?.saturating_add(*delta);
                (KeyValueChanged::Number(sum), Some(Some(sum.to_string().into_bytes())))
            }
        })
    }

    /// The key that it is about.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Set { key, .. }
            | Self::Delete { key }
            | Self::CompareAndSet { key, .. }
            | Self::Increment { key, .. } => key,
        }
    }

    /// The value that is to be there.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Set { value, .. } => Some(value),
            Self::CompareAndSet { value, .. } => value.as_deref(),
            Self::Delete { .. } | Self::Increment { .. } => None,
        }
    }
}
