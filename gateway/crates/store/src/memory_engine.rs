use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use broker::durable::Op;

use crate::{
    CommitStats, Incident, Loaded, Store, StoreError, Usage,
    engine::{Engine, Writes},
    key::Key,
    records::Records,
};

/// A store in memory, for tests: the same records as on disk, faults on request.
///
/// Clones share the entries, as a restarted gateway shares its disk.
#[derive(Clone, Default)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
    records: Option<Arc<Mutex<Records<MemoryEngine>>>>,
}

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written.
    Refused,
    /// The disk is full; nothing is written.
    NoSpace,
    /// Everything is written, and then the answer is lost.
    AnswerLost,
    /// Only some of the writes are: the i-th in key order if bit `i % 64` is set. No
    /// engine with atomic batches does this; recovery has to cope with it all the same.
    Torn(u64),
}

#[derive(Default)]
struct Disk {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    mark: Option<u64>,
    faults: VecDeque<Fault>,
    delay: Duration,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The store as a process finds it that starts after this one was killed: with
    /// what was committed, and no more.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let (entries, mark) = {
            let disk = self.disk();
            (disk.entries.clone(), disk.mark)
        };
        let disk = Disk { entries, mark, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)), records: None }
    }

    /// Makes the next commits that reach the disk fail, one for each fault.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.disk().faults.extend(faults);
    }

    /// Makes every commit take `delay`.
    pub fn delay_commits(&self, delay: Duration) {
        self.disk().delay = delay;
    }

    /// How many values are stored.
    #[must_use]
    pub fn values(&self) -> usize {
        self.disk().entries.len()
    }

    /// Length in bytes of the `index`-th value in key order.
    #[must_use]
    pub fn value_len(&self, index: usize) -> Option<usize> {
        self.disk().entries.values().nth(index).map(Vec::len)
    }

    /// Damages one byte of the `index`-th value in key order: its bits become
    /// `byte ^ mask`. Returns whether there is such a byte.
    pub fn damage(&self, index: usize, offset: usize, mask: u8) -> bool {
        let mut disk = self.disk();
        let value = disk.entries.values_mut().nth(index);
        match value.and_then(|value| value.get_mut(offset)) {
            Some(byte) => {
                *byte ^= mask;
                true
            }
            None => false,
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }

    fn records(&mut self) -> Arc<Mutex<Records<MemoryEngine>>> {
        let disk = &self.disk;
        let begin = || Arc::new(Mutex::new(Records::new(MemoryEngine(Arc::clone(disk)))));
        Arc::clone(self.records.get_or_insert_with(begin))
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        lock(&self.records()).load()
    }

    fn commit(&mut self, ops: &[Op]) -> Result<CommitStats, StoreError> {
        lock(&self.records()).commit(ops)
    }

    fn usage(&self) -> Usage {
        MemoryEngine(Arc::clone(&self.disk)).usage()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("values", &self.values()).finish_non_exhaustive()
    }
}

struct MemoryEngine(Arc<Mutex<Disk>>);

impl Engine for MemoryEngine {
    fn scan(&mut self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        lock(&self.0).entries.iter().for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn keys(&mut self, prefix: &Key) -> Result<Vec<Key>, StoreError> {
        let disk = lock(&self.0);
        let from = disk.entries.range(prefix.as_bytes().to_vec()..);
        let keys = from.map_while(|(key, _)| Key::parse(key)).map(|(key, _)| key);
        Ok(keys.take_while(|key| key.starts_with(prefix)).collect())
    }

    fn contains(&mut self, key: &Key) -> Result<bool, StoreError> {
        Ok(lock(&self.0).entries.contains_key(key.as_bytes()))
    }

    fn apply(&mut self, writes: &Writes) -> Result<(), StoreError> {
        let delay = lock(&self.0).delay;
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        let mut disk = lock(&self.0);
        let (keep, answer) = match disk.faults.pop_front() {
            None => (u64::MAX, Ok(())),
            Some(Fault::Refused) => (0, Err(StoreError::Injected)),
            Some(Fault::NoSpace) => {
                let detail = "injected".to_owned();
                (0, Err(StoreError::NoSpace { action: "commit", detail }))
            }
            Some(Fault::AnswerLost) => (u64::MAX, Err(StoreError::Injected)),
            Some(Fault::Torn(mask)) => (mask, Err(StoreError::Injected)),
        };
        for (bit, (key, value)) in (0..64).cycle().zip(writes) {
            if keep >> bit & 1 == 0 {
                continue;
            }
            match value {
                Some(value) => disk.entries.insert(key.as_bytes().to_vec(), value.clone()),
                None => disk.entries.remove(key.as_bytes()),
            };
        }
        answer
    }

    fn salvage(&mut self, _reason: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn settle(&mut self, _live_bytes: u64) {}

    fn incidents(&mut self) -> Vec<Incident> {
        Vec::new()
    }

    fn mark(&mut self, commits: u64) {
        lock(&self.0).mark = Some(commits);
    }

    fn marked(&mut self) -> Option<u64> {
        lock(&self.0).mark
    }

    fn usage(&self) -> Usage {
        let disk = lock(&self.0);
        let bytes: usize = disk.entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        Usage { file_bytes: bytes as u64, stray_files: 0 }
    }
}

/// A test that panicked while it held the lock leaves whole entries behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{meta, put_number},
        record::FORMAT,
    };

    #[test]
    fn a_store_of_a_later_release_is_refused_and_left_alone() {
        let store = MemoryStore::new();
        store.clone().load().unwrap();
        let mut writes = Writes::new();
        put_number(&mut writes, meta::FORMAT, u64::from(FORMAT) + 1);
        MemoryEngine(Arc::clone(&store.disk)).apply(&writes).unwrap();
        let before = store.disk().entries.clone();
        let mut later = store.restarted();
        for _ in 0..2 {
            let error = later.load().unwrap_err();
            assert!(matches!(error, StoreError::NewerFormat { found: 2, supported: 1 }), "{error}");
            later.commit(&[]).unwrap_err();
        }
        assert!(later.disk().entries == before);
    }
}
