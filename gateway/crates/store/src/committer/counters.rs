use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::CommitStats;

/// What a committer did since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitterStats {
    /// Groups made durable.
    pub commits: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Records, or pieces of long ones, created or replaced.
    pub records_written: u64,
    /// Records, or pieces of long ones, removed.
    pub records_removed: u64,
    /// Bytes of keys and values handed to the engine.
    pub bytes: u64,
    /// Times a file was synced.
    pub syncs: u64,
    /// Time of the last commit that succeeded.
    pub last: Duration,
    /// Longest time of a commit that succeeded.
    pub longest: Duration,
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
        }
    }
}
