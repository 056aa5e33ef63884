use std::path::Path;

use super::{
    files::{Files, OpenFile},
    group::{RECORD_HEAD, RecordHead, record_sum},
    position::Position,
    segment::{self, Segment},
};
use crate::StoreError;

/// Files that are kept open.
const HANDLES: usize = 16;
/// Bytes read at first: one call suffices for most records.
const GUESS: usize = 1024;

/// Why a record could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is no such record, or none that is right.
    Damage,
    /// The operating system refused.
    Io(StoreError),
}

/// Reads single records.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The one that was used last is last.
    handles: Vec<(u32, Box<dyn OpenFile>)>,
}

impl Reader {
    pub(super) fn read(
        &mut self,
        files: &dyn Files,
        dir: &Path,
        segment: &Segment,
        at: Position,
    ) -> Result<(u8, Vec<u8>), ReadError> {
        let salt = segment.salt.ok_or(ReadError::Damage)?;
        let path = segment::path(dir, at.segment);
        let offset = u64::from(at.offset);
        let left = segment.bytes.checked_sub(offset + RECORD_HEAD as u64);
        let left = left.ok_or(ReadError::Damage)?;
        let file = self.handle(files, &path, at.segment)?;
        let mut bytes = vec![0; GUESS];
        let read = |into: &mut [u8], offset| {
            let read = file.read_at(into, offset);
            read.map_err(|error| ReadError::Io(StoreError::io("read", &path)(error)))
        };
        let had = read(&mut bytes, offset)?;
        let head = RecordHead::decode(&bytes[..had]).ok_or(ReadError::Damage)?;
        if u64::from(head.len) > left {
            return Err(ReadError::Damage);
        }
        let end = RECORD_HEAD + head.len as usize;
        bytes.resize(end, 0);
        if had < end && had + read(&mut bytes[had..], offset + had as u64)? < end {
            return Err(ReadError::Damage);
        }
        bytes.drain(..RECORD_HEAD);
        let right = record_sum(salt, at.offset, head.kind, &bytes) == head.sum;
        right.then_some((head.kind, bytes)).ok_or(ReadError::Damage)
    }

    fn handle(
        &mut self,
        files: &dyn Files,
        path: &Path,
        segment: u32,
    ) -> Result<&dyn OpenFile, ReadError> {
        let handle = match self.handles.iter().position(|(number, _)| *number == segment) {
            Some(found) => self.handles.remove(found),
            None => {
                let opened = files.open_to_read(path).map_err(StoreError::io("open", path));
                (segment, opened.map_err(ReadError::Io)?)
            }
        };
        if self.handles.len() >= HANDLES {
            self.handles.remove(0);
        }
        self.handles.push(handle);
        self.handles.last().map(|(_, file)| &**file).ok_or(ReadError::Damage)
    }

    pub(super) fn forget(&mut self, segment: u32) {
        self.handles.retain(|(number, _)| *number != segment);
    }
}
