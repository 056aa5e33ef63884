use std::path::PathBuf;

use super::files::Files;
use crate::StoreError;

/// Whether the ballast is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReserveState {
    /// None is wanted.
    Off,
    /// It is there: the disk is not full.
    Held,
    /// It was given up: the disk is full, and what is still written should free space.
    Given,
}

/// A file that is of no use but for the space it gives back when the disk is full: what
/// frees space must be written before it can free any.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// Lays the ballast out, if there is room; that there is none is not an error.
    pub(super) fn open(files: &dyn Files, path: PathBuf, bytes: u64) -> Result<Self, StoreError> {
        let found = files.open_to_read(&path).and_then(|file| file.size()).ok();
        let held = found == Some(bytes) && bytes > 0;
        let mut reserve = Self { path, bytes, held };
        if !held && found.is_some() {
            files.remove(&reserve.path).map_err(StoreError::io("remove", &reserve.path))?;
        }
        reserve.restore(files)?;
        Ok(reserve)
    }

    pub(super) fn state(&self) -> ReserveState {
        match (self.bytes, self.held) {
            (0, _) => ReserveState::Off,
            (_, true) => ReserveState::Held,
            (_, false) => ReserveState::Given,
        }
    }

    /// Bytes that it takes on the disk.
    pub(super) fn file_bytes(&self) -> u64 {
        if self.held { self.bytes } else { 0 }
    }

    /// Frees the space; whether there was any to free.
    pub(super) fn give_up(&mut self, files: &dyn Files) -> bool {
        std::mem::take(&mut self.held) && files.remove(&self.path).is_ok()
    }

    /// Lays the ballast out again; whether it is there now, or none is wanted.
    pub(super) fn restore(&mut self, files: &dyn Files) -> Result<bool, StoreError> {
        if self.held || self.bytes == 0 {
            return Ok(true);
        }
        let laid = files
            .create(&self.path)
            .and_then(|file| file.allocate(self.bytes))
            .map_err(StoreError::io("reserve space in", &self.path));
        match laid {
            Ok(()) => self.held = true,
            Err(error) => {
                drop(files.remove(&self.path));
                if !error.is_no_space() {
                    return Err(error);
                }
            }
        }
        Ok(self.held)
    }
}
