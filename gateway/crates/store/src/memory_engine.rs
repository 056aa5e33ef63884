//! An engine in memory whose batches are durable when they are applied: for tests.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::{
    Incident, StoreError,
    engine::{Engine, EngineUsage, Marks, Visit, VisitSome, Writes},
    key::Key,
    numbers::Numbers,
};

/// Clones share the entries.
#[derive(Clone, Debug)]
pub(crate) struct MemoryEngine(Arc<Mutex<Entries>>);

#[derive(Clone, Debug, Default)]
struct Entries {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    mark: Marks,
    /// For each batch to come: whether it fails, and is applied all the same.
    faults: VecDeque<Option<bool>>,
    full: bool,
    /// What it was before the last batch.
    before: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryEngine {
    pub(crate) fn new() -> Self {
        let mut engine = Self(Arc::default());
        let mut first = Writes::new();
        Numbers::default().put(&mut first);
        engine.apply(&first).unwrap();
        engine.apply(&Writes::new()).unwrap();
        engine
    }

    /// As it is found after the machine stopped.
    pub(crate) fn cut(&self) -> Self {
        let mut entries = self.lock().clone();
        entries.faults.clear();
        entries.full = false;
        Self(Arc::new(Mutex::new(entries)))
    }

    /// As it is found after it lost its last batch without a word.
    pub(crate) fn rolled_back(&self) -> Self {
        let rolled_back = self.cut();
        let mut entries = rolled_back.lock();
        entries.entries = entries.before.clone();
        drop(entries);
        rolled_back
    }

    /// Lets coming batches fail: before they are applied, or after, with `true`.
    pub(crate) fn fail_next(&self, faults: impl IntoIterator<Item = Option<bool>>) {
        self.lock().faults.extend(faults);
    }

    /// Makes all batches fail for want of space, or no more.
    pub(crate) fn fill(&self, full: bool) {
        self.lock().full = full;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lock().entries.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Flips bits of the `index`-th value; whether there is such a byte.
    pub(crate) fn damage(&self, index: usize, offset: usize, mask: u8) -> bool {
        let mut disk = self.lock();
        let value = disk.entries.values_mut().nth(index);
        value.and_then(|value| value.get_mut(offset)).map(|byte| *byte ^= mask).is_some()
    }

    pub(crate) fn value_len(&self, index: usize) -> usize {
        self.lock().entries.values().nth(index).map_or(0, Vec::len)
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap()
    }
}

impl Engine for MemoryEngine {
    fn scan(&mut self, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.lock().entries.iter().for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn range(
        &mut self,
        from: &Key,
        prefix: &Key,
        visit: &mut VisitSome<'_>,
    ) -> Result<(), StoreError> {
        for (key, value) in self.lock().entries.range(from.as_bytes().to_vec()..) {
            if !key.starts_with(prefix.as_bytes()) || visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn get(&mut self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().entries.get(key.as_bytes()).cloned())
    }

    fn apply(&mut self, writes: &Writes) -> Result<(), StoreError> {
        let mut disk = self.lock();
        if disk.full {
            let detail = "injected".to_owned();
            return Err(StoreError::NoSpace { action: "write", detail });
        }
        let fault = disk.faults.pop_front().flatten();
        if fault == Some(false) {
            return Err(StoreError::Injected);
        }
        disk.before = disk.entries.clone();
        for (key, value) in writes {
            match value {
                Some(value) => disk.entries.insert(key.as_bytes().to_vec(), value.clone()),
                None => disk.entries.remove(key.as_bytes()),
            };
        }
        if fault.is_some() { Err(StoreError::Injected) } else { Ok(()) }
    }

    fn replace(&mut self, writes: &Writes) -> Result<(), StoreError> {
        self.lock().entries.clear();
        self.apply(writes)
    }

    fn salvage(&mut self, _reason: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn settle(&mut self, _live_bytes: u64, _slack_bytes: u64) {}

    fn incidents(&mut self) -> Vec<Incident> {
        Vec::new()
    }

    fn mark(&mut self, marks: Marks) {
        self.lock().mark = marks;
    }

    fn marked(&self) -> Marks {
        self.lock().mark
    }

    fn usage(&self) -> EngineUsage {
        EngineUsage { file_bytes: self.bytes() as u64, stray_files: 0 }
    }
}
