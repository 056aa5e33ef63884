use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{CommitStats, Maintained, Usage};

/// What a committer did since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitterStats {
    /// Groups written.
    pub commits: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Messages and records created or replaced.
    pub records_written: u64,
    /// Records removed.
    pub records_removed: u64,
    /// Bytes written to the log.
    pub bytes: u64,
    /// Times that a commit waited for the disk.
    pub syncs: u64,
    /// Time of the last commit that succeeded.
    pub last: Duration,
    /// Longest time of a commit that succeeded.
    pub longest: Duration,
    /// Parts of queues read.
    pub reads: u64,
    /// Reads that failed.
    pub read_failures: u64,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// Bytes of messages that were written again to free space.
    pub moved_bytes: u64,
    /// What the store occupied a moment ago.
    pub usage: Usage,
}

/// Written by one thread, read by any.
#[derive(Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    failures: AtomicU64,
    records_written: AtomicU64,
    records_removed: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    last_ns: AtomicU64,
    longest_ns: AtomicU64,
    reads: AtomicU64,
    read_failures: AtomicU64,
    checkpoints: AtomicU64,
    moved_bytes: AtomicU64,
    usage: Mutex<Usage>,
}

impl Counters {
    pub(super) fn committed(&self, stats: CommitStats, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.commits.fetch_add(1, Relaxed);
        self.records_written.fetch_add(stats.records_written, Relaxed);
        self.records_removed.fetch_add(stats.records_removed, Relaxed);
        self.bytes.fetch_add(stats.bytes, Relaxed);
        self.syncs.fetch_add(stats.syncs, Relaxed);
        self.last_ns.store(ns, Relaxed);
        self.longest_ns.fetch_max(ns, Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self, well: bool) {
        self.reads.fetch_add(1, Relaxed);
        self.read_failures.fetch_add(u64::from(!well), Relaxed);
    }

    pub(super) fn maintained(&self, done: &Maintained) {
        self.checkpoints.fetch_add(done.checkpoints, Relaxed);
        self.moved_bytes.fetch_add(done.moved_bytes, Relaxed);
    }

    pub(super) fn set_usage(&self, usage: Usage) {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }

    pub(super) fn snapshot(&self) -> CommitterStats {
        CommitterStats {
            commits: self.commits.load(Relaxed),
            failures: self.failures.load(Relaxed),
            records_written: self.records_written.load(Relaxed),
            records_removed: self.records_removed.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            last: Duration::from_nanos(self.last_ns.load(Relaxed)),
            longest: Duration::from_nanos(self.longest_ns.load(Relaxed)),
            reads: self.reads.load(Relaxed),
            read_failures: self.read_failures.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
            moved_bytes: self.moved_bytes.load(Relaxed),
            usage: *self.usage.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}
