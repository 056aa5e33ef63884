//! `[store]`: what survives a power cut, and where.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::section::Section;

/// How accepted messages are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Where they are kept.
    pub engine: Engine,
    /// From the beginning of a write that is synced to that of the next, at least.
    pub group_commit_delay: Duration,
    /// How long an online subscriber may take to acknowledge a message before it is written.
    pub persist_delay: Duration,
    /// Bytes that may wait to be written; at more no socket is read.
    pub max_pending: u64,
}

/// Where accepted messages are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// In memory: nothing survives the process.
    Memory,
    /// In a sled database.
    Sled {
        /// Its directory.
        path: PathBuf,
        /// Bytes of its page cache.
        cache: u64,
        /// Bytes of one file of the log beside it.
        log_file: u64,
        /// Bytes of log after which it is brought up to date.
        checkpoint: u64,
    },
}

/// Below it every read goes to the SD card; beyond it the process grows by several times as much.
const DEFAULT_CACHE: u64 = 16 << 20;

/// What a slow SD card reads in half a second when the gateway starts.
const DEFAULT_LOG: u64 = 8 << 20;

/// At most 200 syncs a second, which SD cards still do, and hardly longer than one of them takes.
const DEFAULT_GROUP_COMMIT_DELAY: Duration = Duration::from_millis(5);

/// Subscribers on the same network acknowledge within it, and nothing need be written.
const DEFAULT_PERSIST_DELAY: Duration = Duration::from_millis(20);

/// What a slow SD card writes in about a second.
const DEFAULT_MAX_PENDING: u64 = 8 << 20;

pub(crate) fn read(root: &Section<'_>, data: &Path) -> Store {
    let section = root.section("store");
    let engines = [("sled", Kind::Sled), ("memory", Kind::Memory)];
    let engine = match section.choice("engine", Kind::Sled, &engines) {
        Kind::Sled => Engine::Sled {
            path: section.directory("path", data.join("store")),
            cache: section.size("cache", DEFAULT_CACHE, 1 << 20..=1 << 30),
            log_file: section.size("log-file-size", DEFAULT_LOG, 64 << 10..=1 << 30),
            checkpoint: section.size("checkpoint-after", DEFAULT_LOG, 64 << 10..=1 << 30),
        },
        Kind::Memory => {
            let keys = ["path", "cache", "log-file-size", "checkpoint-after"];
            section.meaningless(&keys, "with engine = \"memory\"; remove it");
            Engine::Memory
        }
    };
    let store = Store {
        engine,
        group_commit_delay: section.duration(
            "group-commit-delay",
            DEFAULT_GROUP_COMMIT_DELAY,
            Duration::ZERO..=Duration::from_secs(1),
        ),
        persist_delay: section.duration(
            "persist-delay",
            DEFAULT_PERSIST_DELAY,
            Duration::ZERO..=Duration::from_secs(10),
        ),
        max_pending: section.size("max-pending", DEFAULT_MAX_PENDING, 64 << 10..=1 << 30),
    };
    section.finish();
    store
}

#[derive(Clone, Copy)]
enum Kind {
    Sled,
    Memory,
}
