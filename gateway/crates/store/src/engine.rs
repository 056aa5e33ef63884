use std::{collections::BTreeMap, ops::ControlFlow};

use crate::{
    Damage, Incident, StoreError,
    key::{Key, Kind},
    record,
};

/// Changes to apply together: a value to put, or `None` to remove.
pub(crate) type Writes = BTreeMap<Key, Option<Vec<u8>>>;

/// Shown a key and its value.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) + 'a;

/// The same, until it has seen enough.
pub(crate) type VisitSome<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered map from keys to values of at most
/// [`MAX_VALUE`](crate::record::MAX_VALUE) bytes. All that a store needs from the
/// technology beneath, besides files.
pub(crate) trait Engine: Send {
    /// Shows every entry in ascending order of keys.
    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Shows the entries at and after `from` whose keys begin with `prefix`, until told to stop.
    fn range(
        &mut self,
        from: &Key,
        prefix: &Key,
        visit: &mut VisitSome<'_>,
    ) -> Result<(), StoreError>;

    /// The value at `key`.
    fn get(&mut self, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// Applies `writes`, all or none, and makes them and everything before them
    /// durable. `writes` may be empty.
    fn apply(&mut self, writes: &Writes) -> Result<(), StoreError>;

    /// Has nothing but `writes` afterwards, or what it had before.
    fn replace(&mut self, writes: &Writes) -> Result<(), StoreError>;

    /// After damage was found: moves what can be read to where there is none, and keeps
    /// the damaged files for people.
    fn salvage(&mut self, reason: &str) -> Result<(), StoreError>;

    /// Told how many bytes of entries there are; copies itself if its files are much larger
    /// than that, by more than `slack_bytes`.
    fn settle(&mut self, live_bytes: u64, slack_bytes: u64);

    /// What happened since the last call that an operator should know.
    fn incidents(&mut self) -> Vec<Incident>;

    /// Notes, outside the entries, what is durable.
    fn mark(&mut self, marks: Marks);

    /// What was noted last, or earlier.
    fn marked(&self) -> Marks;

    fn usage(&self) -> EngineUsage;
}

/// What is durable at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Number of the last checkpoint.
    pub(crate) checkpoints: u64,
    /// Number of the last group of the log.
    pub(crate) group: u64,
}

/// What an engine occupies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EngineUsage {
    /// Bytes of its files.
    pub(crate) file_bytes: u64,
    /// Files that it keeps outside its log.
    pub(crate) stray_files: u64,
}

/// The keys that begin with `prefix`.
pub(crate) fn keys(engine: &mut dyn Engine, prefix: &Key) -> Result<Vec<Key>, StoreError> {
    let mut found = Vec::new();
    engine.range(prefix, prefix, &mut |key, _| {
        found.extend(Key::parse(key).map(|(key, _)| key));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Whether any key begins with `prefix`.
pub(crate) fn has_any(engine: &mut dyn Engine, prefix: &Key) -> Result<bool, StoreError> {
    let mut any = false;
    engine.range(prefix, prefix, &mut |_, _| {
        any = true;
        ControlFlow::Break(())
    })?;
    Ok(any)
}

/// The body of one record.
pub(crate) fn get_record(
    engine: &mut dyn Engine,
    kind: Kind,
    base: Key,
) -> Result<Option<Result<Vec<u8>, Damage>>, StoreError> {
    let Some(first) = engine.get(&base)? else { return Ok(None) };
    let mut pieces = vec![(base, first)];
    loop {
        match record::join(record::FORMAT, kind, base, &pieces) {
            Err(Damage::Incomplete) => {}
            joined => return Ok(Some(joined.map(|(body, _)| body))),
        }
        let index = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        let key = base.fragment(index);
        let Some(piece) = engine.get(&key)? else {
            return Ok(Some(Err(Damage::Incomplete)));
        };
        pieces.push((key, piece));
    }
}
