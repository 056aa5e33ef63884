//! An append-only log of groups of records, in segment files.
//!
//! It knows what bytes are durable and where they are, and nothing of what they mean.
//! A group is there wholly or not at all, and none is there without those before it
//! that were not yet synced either.
//!
//! ```text
//! <dir>/log/00000001.seg   header, then groups, back to back
//! <dir>/reserve            ballast, given up when the disk is full
//! ```
//!
//! Only the newest segment is ever written, and it is synced before the next one is
//! begun; so what a power cut tore can only be at the end of the newest one. Every start
//! begins a new segment: nothing is appended behind what may have been torn.

mod files;
mod group;
mod header;
mod position;
mod reader;
mod replay;
mod reserve;
mod segment;
#[cfg(test)]
mod tests;
mod wire;
mod writer;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use files::read_full;
pub use files::{Cut, Failure, Files, Listed, OpenFile, Operation, RealFiles, SimulatedFiles};
use group::GROUP_HEAD;
pub(crate) use group::GroupBuilder;
use header::{HEADER_LEN, Header};
pub(crate) use position::{Position, Slot};
pub(crate) use reader::ReadError;
use reader::Reader;
pub(crate) use replay::Record;
#[cfg(test)]
use replay::Replayed;
use reserve::Reserve;
pub(crate) use reserve::ReserveState;
use segment::Segment;
pub(crate) use segment::number as segment_number;
use writer::Writer;

use crate::StoreError;

/// How the log is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// A segment ends before it would be longer, unless one group alone is.
    pub(crate) segment_bytes: u64,
    /// Ballast to give up when the disk is full; 0 for none.
    pub(crate) reserve_bytes: u64,
}

impl Default for Settings {
    /// 8 MiB each.
    fn default() -> Self {
        Self { segment_bytes: 8 << 20, reserve_bytes: 8 << 20 }
    }
}

/// Bytes of unsynced groups that are kept in memory; more force a sync. One group that
/// is longer is kept all the same.
const PENDING_MAX: usize = 4 << 20;

/// The log.
#[derive(Debug)]
pub(crate) struct Log {
    files: Arc<dyn Files>,
    /// Where the segments are.
    dir: PathBuf,
    settings: Settings,
    secret: u64,
    segments: BTreeMap<u32, Segment>,
    /// Number of the segment that would be begun next.
    next_segment: u32,
    /// Number of the group that is appended next; `None` until the log was replayed.
    next_group: Option<u64>,
    /// Every group with a lower number is synced.
    synced: u64,
    writer: Option<Writer>,
    reader: Reader,
    reserve: Reserve,
    /// Whether a segment was created whose name may not survive a power cut.
    names_unsynced: bool,
    bytes_written: u64,
    syncs: u64,
}

impl Log {
    /// Opens the log in the store's directory, creating it if need be. Nothing can be
    /// appended until it was replayed.
    pub(crate) fn open(
        files: Arc<dyn Files>,
        store: &Path,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let dir = store.join("log");
        files.create_dir(&dir).map_err(StoreError::io("create", &dir))?;
        files.sync_dir(store).map_err(StoreError::io("sync", store))?;
        let reserve = Reserve::open(&*files, store.join("reserve"), settings.reserve_bytes)?;
        let (segments, secret) = segment::list(&*files, &dir)?;
        let next_segment = segments.last_key_value().map_or(1, |(last, _)| last + 1);
        Ok(Self {
            secret: secret.unwrap_or_else(|| files.secret()),
            files,
            dir,
            settings,
            segments,
            next_segment,
            next_group: None,
            synced: 0,
            writer: None,
            reader: Reader::default(),
            reserve,
            names_unsynced: false,
            bytes_written: 0,
            syncs: 0,
        })
    }

    /// Makes sure that `group` fits the newest segment, beginning another if not. Returns
    /// where its first record will be if it is appended next, and grows no more: the
    /// records' positions are known before they are written.
    pub(crate) fn prepare(&mut self, group: &GroupBuilder) -> Result<Position, StoreError> {
        const ACTION: &str = "append to the log";
        if self.next_group.is_none() {
            let detail = "it was not read yet".to_owned();
            return Err(StoreError::Engine { action: ACTION, detail });
        }
        if group.len() > (u32::MAX - HEADER_LEN) as usize {
            let detail = format!("a group of {} bytes is too long", group.len());
            return Err(StoreError::Engine { action: ACTION, detail });
        }
        let fits = |writer: &Writer| writer.has_room(group.len(), self.settings.segment_bytes);
        if !self.writer.as_ref().is_some_and(fits) {
            self.begin_segment()?;
        }
        let Position { segment, offset } = self.end();
        Ok(Position { segment, offset: offset.saturating_add(GROUP_HEAD as u32) })
    }

    /// Appends `group`, all or nothing; returns where its first record is. It survives
    /// the end of the process, and a power cut once it is synced.
    pub(crate) fn append(&mut self, group: &GroupBuilder) -> Result<Position, StoreError> {
        if group.is_empty() {
            return Ok(self.end());
        }
        let base = self.prepare(group)?;
        let pending = self.writer.as_ref().map_or(0, Writer::pending_groups);
        if pending > 0 && pending + group.len() > PENDING_MAX {
            self.sync()?;
        }
        let (Some(writer), Some(number)) = (&mut self.writer, self.next_group) else {
            return Ok(base);
        };
        let unsynced = u32::try_from(number - self.synced).unwrap_or(u32::MAX);
        let files = &*self.files;
        let written = writer.append(group, number, unsynced, &mut |error| {
            error.is_no_space() && self.reserve.give_up(files)
        });
        self.bytes_written += writer.take_bytes_written();
        written?;
        self.next_group = Some(number + 1);
        if let Some(segment) = self.segments.get_mut(&base.segment) {
            segment.bytes = u64::from(writer.end());
        }
        Ok(base)
    }

    /// Makes everything appended survive a power cut.
    ///
    /// After an error nothing that was appended since the last success may be believed
    /// to survive one, until a later call succeeds.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        if let Some(writer) = &mut self.writer {
            let files = &*self.files;
            let synced =
                writer.sync(&mut |error| error.is_no_space() && self.reserve.give_up(files));
            self.bytes_written += writer.take_bytes_written();
            self.syncs += u64::from(synced?);
        }
        self.sync_names()?;
        if let (Some(writer), Some(next)) = (&mut self.writer, self.next_group) {
            writer.settle();
            self.synced = next;
        }
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), StoreError> {
        if self.names_unsynced {
            self.files.sync_dir(&self.dir).map_err(StoreError::io("sync", &self.dir))?;
            self.names_unsynced = false;
            self.syncs += 1;
        }
        Ok(())
    }

    /// Ends the newest segment and begins another.
    fn begin_segment(&mut self) -> Result<(), StoreError> {
        if let Some(writer) = &mut self.writer {
            writer.finish()?;
        }
        self.sync()?;
        let segment = self.next_segment;
        let header =
            Header { segment, first: self.next_group.unwrap_or_default(), secret: self.secret };
        let path = segment::path(&self.dir, segment);
        self.reader.forget(segment);
        self.names_unsynced = true;
        let ahead = self.settings.segment_bytes.min(u64::from(u32::MAX));
        let mut begun = Writer::begin(&*self.files, &path, &header, ahead);
        if begun.as_ref().is_err_and(StoreError::is_no_space) && self.reserve.give_up(&*self.files)
        {
            begun = Writer::begin(&*self.files, &path, &header, ahead);
        }
        let mut writer = begun?;
        self.bytes_written += writer.take_bytes_written();
        self.segments.insert(segment, Segment::begun(&header));
        self.next_segment += 1;
        self.writer = Some(writer);
        Ok(())
    }

    /// The record at `position`, synced or not.
    pub(crate) fn read(&mut self, position: Position) -> Result<(u8, Vec<u8>), ReadError> {
        let segment = self.segments.get(&position.segment).ok_or(ReadError::Damage)?;
        self.reader.read(&*self.files, &self.dir, segment, position)
    }

    /// Where the next group goes, if it fits there; before it everything is appended.
    pub(crate) fn end(&self) -> Position {
        self.writer
            .as_ref()
            .map_or(Position { segment: self.next_segment, offset: HEADER_LEN }, Writer::position)
    }

    /// Number of the group that is appended next; the first one is 1.
    pub(crate) fn next_group(&self) -> u64 {
        self.next_group.unwrap_or(1)
    }

    /// The segments, oldest first, with their bytes.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (u32, u64)> {
        self.segments.iter().map(|(number, segment)| (*number, segment.bytes))
    }

    /// The segments whose header is damaged.
    pub(crate) fn unsound(&self) -> impl Iterator<Item = u32> {
        self.segments.iter().filter(|(_, segment)| !segment.sound).map(|(number, _)| *number)
    }

    /// Removes a segment. The one that is appended to is kept: `false`.
    pub(crate) fn remove(&mut self, segment: u32) -> Result<bool, StoreError> {
        if self.writer.as_ref().is_some_and(|writer| writer.position().segment == segment) {
            return Ok(false);
        }
        if self.segments.contains_key(&segment) {
            if self.names_unsynced {
                // The newest segment carries the numbers on: it must outlive the others.
                self.sync()?;
            }
            let path = segment::path(&self.dir, segment);
            self.reader.forget(segment);
            self.files.remove(&path).map_err(StoreError::io("remove", path))?;
            self.segments.remove(&segment);
        }
        Ok(true)
    }

    /// Bytes of all segments and of the ballast.
    pub(crate) fn file_bytes(&self) -> u64 {
        let segments: u64 = self.segments.values().map(|segment| segment.bytes).sum();
        segments + self.reserve.file_bytes()
    }

    /// Bytes written to segments since the log was opened.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Times that a file or the directory was synced since the log was opened.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Frees the ballast's space for what is written elsewhere; whether there was any to free.
    pub(crate) fn give_up_reserve(&mut self) -> bool {
        self.reserve.give_up(&*self.files)
    }

    /// Sees to it that no segment up to this one is begun: something may still name places in it.
    pub(crate) fn skip(&mut self, segment: u32) {
        self.next_segment = self.next_segment.max(segment.saturating_add(1));
    }

    /// Whether the ballast is there.
    pub(crate) fn reserve_state(&self) -> ReserveState {
        self.reserve.state()
    }

    /// Lays the ballast out again if there is room; returns whether it is there now, or
    /// none is wanted.
    pub(crate) fn restore_reserve(&mut self) -> Result<bool, StoreError> {
        self.reserve.restore(&*self.files)
    }
}
