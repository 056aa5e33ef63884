use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use crate::{StoreError, engine::Marks};

/// A small file that says how much was durable at least.
///
/// Where sled's log is damaged near its end, sled takes it for a write that was cut
/// short and starts from before it, without a word; so it is with the store's own log, where
/// what was cut off at the end leaves no trace. These numbers are outside both, so such a loss is
/// noticed. They are written after each sync and never synced: a power
/// cut may leave older numbers, never later ones, and it costs the disk next to
/// nothing.
pub(super) struct Mark {
    file: File,
    last: Marks,
}

/// Two numbers and a checksum; format 1 had the first number only.
const LEN: usize = 20;
const OLD_LEN: usize = 12;

impl Mark {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(StoreError::io("open", path))?;
        let last = read(&file).unwrap_or_default();
        Ok(Self { file, last })
    }

    /// A mark that cannot be written is an old mark, which is allowed.
    pub(super) fn set(&mut self, marks: Marks) {
        if marks != self.last {
            let mut bytes = marks.checkpoints.to_be_bytes().to_vec();
            bytes.extend_from_slice(&marks.group.to_be_bytes());
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
            drop(self.file.write_all_at(&bytes, 0));
            self.last = marks;
        }
    }

    /// The numbers, or older ones; zeros when there are none or they are damaged.
    pub(super) const fn get(&self) -> Marks {
        self.last
    }
}

fn read(file: &File) -> Option<Marks> {
    let mut bytes = [0; LEN];
    let old = file.metadata().ok()?.len() == OLD_LEN as u64;
    let bytes = if old { &mut bytes[..OLD_LEN] } else { &mut bytes[..] };
    file.read_exact_at(bytes, 0).ok()?;
    let (numbers, sum) = bytes.split_last_chunk::<4>()?;
    (crc32fast::hash(numbers).to_be_bytes() == *sum).then_some(())?;
    let (checkpoints, group) = numbers.split_first_chunk::<8>()?;
    let group = group.first_chunk::<8>().map_or(0, |group| u64::from_be_bytes(*group));
    Some(Marks { checkpoints: u64::from_be_bytes(*checkpoints), group })
}
