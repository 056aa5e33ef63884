use std::{path::PathBuf, sync::Arc};

use broker::durable::{Op, Page, Read, Urgency};

use crate::{
    CommitStats, Incident, Loaded, Maintained, Store, StoreError, Usage, log::RealFiles,
    log_store::LogStore, sled_engine::SledEngine,
};

/// A store on disk.
pub struct DiskStore(LogStore<SledEngine>);

/// How a store on disk is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Page cache of the database in bytes. The process grows by two to ten times as much.
    pub cache_bytes: u64,
    /// Bytes of one file of the log: what is freed at a time.
    pub segment_bytes: u64,
    /// Bytes that are kept from others and given up when the disk is full, so that what frees
    /// space can be written; 0 for none.
    pub reserve_bytes: u64,
    /// Bytes of log after which the database is brought up to date: what is read at start, at
    /// most.
    pub checkpoint_bytes: u64,
    /// Memory for what changed since the database was brought up to date, in bytes, near enough;
    /// with more it is brought up to date as well. What lies on the same pages may take up to
    /// eight times as much besides, where thousands of queues grow at once.
    pub dirty_bytes: usize,
    /// Bytes that the log may have besides twice what is alive in it, before it is rewritten.
    pub log_slack_bytes: u64,
}

impl Default for Settings {
    /// What suits a small ARM box: 8 MiB of each, 4 MiB of memory, 64 MiB of slack.
    fn default() -> Self {
        Self {
            cache_bytes: 8 << 20,
            segment_bytes: 8 << 20,
            reserve_bytes: 8 << 20,
            checkpoint_bytes: 8 << 20,
            dirty_bytes: 4 << 20,
            log_slack_bytes: 64 << 20,
        }
    }
}

impl DiskStore {
    /// Opens the store in `dir`, creating it if need be. A database that cannot be
    /// opened is renamed aside and another is begun; [`Store::load`] reports it.
    ///
    /// # Errors
    /// When another process has it open, or the operating system denies access to
    /// `dir` or has no space for it. Damage is no error.
    pub fn open(dir: impl Into<PathBuf>, settings: Settings) -> Result<Self, StoreError> {
        let dir = dir.into();
        let engine = SledEngine::open(dir.clone(), settings.cache_bytes)?;
        LogStore::open(engine, Arc::new(RealFiles), dir, settings).map(Self)
    }
}

impl DiskStore {
    /// Takes as little space as it can.
    pub(crate) fn tighten(&mut self) -> Result<Vec<Incident>, StoreError> {
        self.0.tighten()
    }
}

impl Store for DiskStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.0.load()
    }

    fn commit(&mut self, ops: &[Op], urgency: Urgency) -> Result<CommitStats, StoreError> {
        self.0.commit(ops, urgency)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.0.sync()
    }

    fn read(&mut self, read: &Read) -> Result<Page, StoreError> {
        self.0.read(read)
    }

    fn maintain(&mut self) -> Result<Maintained, StoreError> {
        self.0.maintain()
    }

    fn usage(&self) -> Usage {
        self.0.usage()
    }

    fn close(&mut self) {
        self.0.close();
    }
}
