use std::collections::BTreeMap;

use crate::{Incident, StoreError, Usage, key::Key};

/// Changes to apply together: a value to put, or `None` to remove.
pub(crate) type Writes = BTreeMap<Key, Option<Vec<u8>>>;

/// An ordered map from keys to values of at most
/// [`MAX_VALUE`](crate::record::MAX_VALUE) bytes. All that a store needs from the
/// technology beneath.
pub(crate) trait Engine: Send {
    /// Shows every entry in ascending order of keys.
    fn scan(&mut self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError>;

    /// The keys that begin with `prefix`.
    fn keys(&mut self, prefix: &Key) -> Result<Vec<Key>, StoreError>;

    /// Whether there is a value at `key`.
    fn contains(&mut self, key: &Key) -> Result<bool, StoreError>;

    /// Applies `writes`, all or none, and makes them and everything before them
    /// durable. `writes` may be empty.
    fn apply(&mut self, writes: &Writes) -> Result<(), StoreError>;

    /// After damage was found: moves what can be read to where there is none, and keeps
    /// the damaged files for people.
    fn salvage(&mut self, reason: &str) -> Result<(), StoreError>;

    /// Told after loading how many bytes of records are live; may shrink its files.
    fn settle(&mut self, live_bytes: u64);

    /// What happened since the last call that an operator should know.
    fn incidents(&mut self) -> Vec<Incident>;

    /// Notes, outside the entries, that so many commits are durable.
    fn mark(&mut self, commits: u64);

    /// The number last noted, or an earlier one.
    fn marked(&mut self) -> Option<u64>;

    fn usage(&self) -> Usage;
}
