//! A disk that misbehaves when it is told to: `shim/fault.c`, and the numbers that it goes by.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::stage::{Stage, shim};

/// What the disk under a gateway's store does. Rules hold from the next call of the gateway on.
#[derive(Debug)]
pub struct BadDisk {
    environment: [(&'static str, OsString); 3],
    rules: File,
}

/// A rule, by its place in the shim's file. What it is set to says how it is broken; 0 is sound, but for
/// [`Rule::Free`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Bytes that may still be taken; negative: any number.
    Free,
    /// The error number of every write.
    WriteError,
    /// The error number of syncs, of as many as [`Rule::SyncErrors`] says.
    SyncError,
    /// How many syncs still fail; negative: all.
    SyncErrors,
    /// Nothing can be changed.
    ReadOnly,
    /// Milliseconds that a sync takes.
    DelayMs,
    /// The error number of every read.
    ReadError,
}

/// What was refused, or delayed, by its place in the shim's file.
#[derive(Clone, Copy, Debug)]
pub enum Refused {
    /// Writes, for an error.
    Writes = 8,
    /// Syncs, for an error.
    Syncs,
    /// Syncs that took longer.
    Delayed,
    /// Changes, as everything was read-only.
    ReadOnly,
    /// Reads.
    Reads,
    /// Writes and new files, for want of space.
    Space,
}

const PLACES: u64 = 16;

/// "Input/output error".
pub const EIO: i64 = 5;

impl BadDisk {
    /// A sound disk under the store of this stage, for the time being.
    pub fn under(stage: &Stage) -> Self {
        let path: PathBuf = stage.path("rules");
        let mut options = OpenOptions::new();
        let rules = options.read(true).write(true).create(true).truncate(true).open(&path);
        let rules = rules.expect("a file for the rules");
        rules.set_len(PLACES * 8).expect("room for the rules");
        let disk = Self {
            environment: [
                ("LD_PRELOAD", shim("fault", &stage.path("")).into()),
                ("PORTCULLIS_FAULT_DIR", stage.store().into()),
                ("PORTCULLIS_FAULT_RULES", path.into()),
            ],
            rules,
        };
        disk.set(Rule::Free, -1);
        disk
    }

    pub(crate) fn environment(&self) -> [(&str, &OsStr); 3] {
        self.environment.each_ref().map(|(name, value)| (*name, value.as_os_str()))
    }

    /// Breaks the disk, or mends it.
    pub fn set(&self, rule: Rule, value: i64) {
        let place = rule as u64 * 8;
        self.rules.write_all_at(&value.to_ne_bytes(), place).expect("the rules are ours");
    }

    /// How often.
    pub fn refused(&self, what: Refused) -> u64 {
        self.number(what as u64).try_into().unwrap_or_default()
    }

    /// Bytes that are left, if that is limited.
    pub fn free(&self) -> i64 {
        self.number(Rule::Free as u64)
    }

    fn number(&self, place: u64) -> i64 {
        let mut bytes = [0; 8];
        self.rules.read_exact_at(&mut bytes, place * 8).expect("the rules are ours");
        i64::from_ne_bytes(bytes)
    }
}
