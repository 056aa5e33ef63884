use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    PENDING_MAX,
    files::{Files, OpenFile},
    group::{GROUP_HEAD, GroupBuilder, Place},
    header::{HEADER_LEN, Header, Salt},
    position::Position,
};
use crate::StoreError;

/// What a segment is called that is being begun.
const BEGUN: &str = "begun";

/// Whether to try once more after this error: space was freed.
type Again<'a> = dyn FnMut(&StoreError) -> bool + 'a;

/// Writes the newest segment.
///
/// When a sync fails, the kernel may have dropped what it could not write and think that
/// nothing is left to do; the next sync would succeed and mean nothing. So the bytes that
/// were not yet synced are kept, and written again to the same places first.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    file: Box<dyn OpenFile>,
    segment: u32,
    salt: Salt,
    /// Where the next group goes.
    end: u32,
    /// The last bytes before `end`, those that are not known to be on disk.
    pending: Vec<u8>,
    /// Where they begin.
    pending_at: u32,
    /// Whether a sync failed since they were written.
    rewrite: bool,
    /// How long the file is made ahead: one that grows with each group costs the disk a
    /// commit of the file system's journal for each sync, a third of the time.
    ahead: u64,
    /// Whether bytes of a group that failed may lie at `end`.
    soiled: bool,
    bytes_written: u64,
}

impl Writer {
    /// Creates the segment's file with its header.
    ///
    /// That it has its name means that all segments before it are complete; so it gets the
    /// name last.
    pub(super) fn begin(
        files: &dyn Files,
        path: &Path,
        header: &Header,
        ahead: u64,
    ) -> Result<Self, StoreError> {
        let begun = path.with_file_name(BEGUN);
        // What a power cut left under that name may be a segment that has its own name, too.
        match files.remove(&begun) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", begun)(error));
            }
            _ => {}
        }
        let file = files.create(&begun).map_err(StoreError::io("create", &begun))?;
        let bytes = header.encode();
        let written = file.write_at(&bytes, 0).map_err(StoreError::io("write", &begun));
        let named = written
            .and_then(|()| files.rename(&begun, path).map_err(StoreError::io("rename", &begun)));
        if let Err(error) = named {
            drop(files.remove(&begun));
            return Err(error);
        }
        // Zeros that take no space, and are not missed where there are none.
        drop(file.set_len(ahead));
        Ok(Self {
            path: path.to_owned(),
            file,
            segment: header.segment,
            salt: header.salt(),
            end: HEADER_LEN,
            pending: bytes.to_vec(),
            pending_at: 0,
            ahead,
            rewrite: false,
            soiled: false,
            bytes_written: u64::from(HEADER_LEN),
        })
    }

    pub(super) fn end(&self) -> u32 {
        self.end
    }

    pub(super) fn position(&self) -> Position {
        Position { segment: self.segment, offset: self.end }
    }

    /// Bytes of unsynced groups.
    pub(super) fn pending_groups(&self) -> usize {
        (self.end - self.pending_at.max(HEADER_LEN)) as usize
    }

    /// Whether a group of `len` bytes goes into this segment: any one goes into an empty one.
    pub(super) fn has_room(&self, len: usize, segment_bytes: u64) -> bool {
        let after = u64::from(self.end) + len as u64;
        after <= u64::from(u32::MAX) && (self.end == HEADER_LEN || after <= segment_bytes)
    }

    pub(super) fn append(
        &mut self,
        group: &GroupBuilder,
        number: u64,
        unsynced: u32,
        again: &mut Again<'_>,
    ) -> Result<(), StoreError> {
        let start = self.pending.len();
        let place = Place { salt: self.salt, offset: self.end, number, unsynced };
        group.seal(place, &mut self.pending);
        let Ok(len) = u32::try_from(self.pending.len() - start) else { return Ok(()) };
        if let Err(error) = self.write(start, again) {
            self.pending.truncate(start);
            self.soiled = true;
            drop(self.clean());
            return Err(error);
        }
        // Whatever a failed group left there is written over, its head first of all.
        self.soiled = false;
        self.end += len;
        Ok(())
    }

    /// Writes the pending bytes from `start` on.
    fn write(&mut self, start: usize, again: &mut Again<'_>) -> Result<(), StoreError> {
        let bytes = &self.pending[start..];
        let offset = u64::from(self.pending_at) + start as u64;
        let mut retried = false;
        loop {
            let written = self.file.write_at(bytes, offset);
            self.bytes_written += bytes.len() as u64;
            match written.map_err(StoreError::io("write", &self.path)) {
                Err(error) if !retried && again(&error) => retried = true,
                result => return result,
            }
        }
    }

    /// Removes what a failed group left.
    fn clean(&mut self) -> Result<(), StoreError> {
        if self.soiled {
            let end = u64::from(self.end);
            let cut = self.file.set_len(end).or_else(|_| {
                self.bytes_written += GROUP_HEAD as u64;
                self.file.write_at(&[0; GROUP_HEAD], end)
            });
            cut.map_err(StoreError::io("cut", &self.path))?;
            self.soiled = false;
            if self.ahead > end {
                drop(self.file.set_len(self.ahead));
            }
        }
        Ok(())
    }

    /// Makes all groups durable, but for the file's name; returns whether there was any that
    /// was not.
    pub(super) fn sync(&mut self, again: &mut Again<'_>) -> Result<bool, StoreError> {
        if self.pending.is_empty() {
            return Ok(false);
        }
        self.clean()?;
        if self.rewrite {
            self.write(0, again)?;
        }
        self.rewrite = true;
        self.file.sync_data().map_err(StoreError::io("sync", &self.path))?;
        self.rewrite = false;
        Ok(true)
    }

    /// All is durable, the file's name included.
    pub(super) fn settle(&mut self) {
        self.pending.clear();
        self.pending_at = self.end;
        self.pending.shrink_to(PENDING_MAX);
    }

    /// Nothing more is appended.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.clean()?;
        // What is left of the zeros does no harm.
        drop(self.file.set_len(u64::from(self.end)));
        Ok(())
    }

    pub(super) fn take_bytes_written(&mut self) -> u64 {
        std::mem::take(&mut self.bytes_written)
    }
}
