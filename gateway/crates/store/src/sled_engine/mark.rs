use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use crate::StoreError;

/// A small file that says how many commits were durable at least.
///
/// Where sled's log is damaged near its end, sled takes it for a write that was cut
/// short and starts from before it, without a word. This number is outside the log, so
/// such a loss is noticed. It is written after each commit and never synced: a power
/// cut may leave an older number, never a later one, and it costs the disk next to
/// nothing.
pub(super) struct Mark(File);

const LEN: usize = 12;

impl Mark {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(path).map(Self).map_err(StoreError::io("open", path))
    }

    /// A mark that cannot be written is an old mark, which is allowed.
    pub(super) fn set(&self, commits: u64) {
        let mut bytes = commits.to_be_bytes().to_vec();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        drop(self.0.write_all_at(&bytes, 0));
    }

    /// The number; `None` when there is none or it is damaged.
    pub(super) fn get(&self) -> Option<u64> {
        let mut bytes = [0; LEN];
        self.0.read_exact_at(&mut bytes, 0).ok()?;
        let (number, sum) = bytes.split_first_chunk::<8>()?;
        (crc32fast::hash(number).to_be_bytes() == *sum).then(|| u64::from_be_bytes(*number))
    }
}
