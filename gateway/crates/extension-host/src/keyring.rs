//! What an operator has an extension use without showing it: keys that verify tokens, and secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The key sets and secrets of one extension, by the names under which it asks for them.
#[derive(Debug, Default)]
pub struct Keyring {
    /// `[extensions.NAME.key-sets]`
    pub key_sets: BTreeMap<String, TokenKeys>,
    /// `[extensions.NAME.secrets]`
    pub secrets: BTreeMap<String, Secret>,
}

/// A key set, and what is accepted of a token that one of its keys signed.
#[derive(Debug)]
pub struct TokenKeys {
    /// What is accepted.
    pub policy: auth::jwt::Policy,
    /// Where the keys are.
    pub source: Arc<dyn KeySource>,
}

/// Where keys come from that may change. Called by hooks: neither function waits for a network.
pub trait KeySource: fmt::Debug + Send + Sync {
    /// The keys as they are now.
    ///
    /// # Errors
    /// A sentence that says why there are none.
    fn current(&self) -> Result<Arc<auth::jwt::KeySet>, String>;

    /// None of the keys fits a token: there may be others by now.
    fn missed(&self, miss: Miss) -> Look;
}

/// How a token does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It names a key that is not in the set.
    UnknownKey,
    /// No key verifies its signature.
    WrongSignature,
}

/// What has been done about a miss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing: the keys are what they are.
    Same,
    /// The last look failed, for this reason: whether there are others by now nobody knows.
    Failed(String),
    /// There are other keys now.
    Changed,
    /// They are being fetched.
    UnderWay,
}

/// Bytes that nobody is to see.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Hides bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
