//! Reading the log from some position to its end, past damage.

use super::{
    Log,
    files::OpenFile,
    group::{Found, find_all, records},
    header::{HEADER_LEN, Header},
    position::Position,
    segment::{self, Segment},
};
use crate::StoreError;

/// A record that is shown while the log is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) kind: u8,
    pub(crate) bytes: &'a [u8],
    /// Where it is.
    pub(crate) position: Position,
    /// Where its group's first record is: a slot's position is `base.at(slot)`.
    pub(crate) base: Position,
    /// Number of its group.
    pub(crate) group: u64,
    /// Whether it is its group's last.
    #[cfg(test)]
    pub(crate) last: bool,
}

/// What reading the log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Groups shown.
    pub(crate) groups: u64,
    /// Records shown.
    pub(crate) records: u64,
    /// Bytes that a power cut left of groups that were never synced. They are cut off; that
    /// is as it should be.
    pub(crate) torn_bytes: u64,
    /// Where groups were lost that had been synced: damage. At most one for each segment.
    pub(crate) holes: Vec<Hole>,
}

/// Groups of one segment that cannot be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    /// The segment.
    pub(crate) segment: u32,
    /// How many groups, at least.
    pub(crate) groups: u64,
    /// How many bytes they took, as far as they are still there.
    pub(crate) bytes: u64,
}

impl Replayed {
    fn hole(&mut self, segment: u32, groups: u64, bytes: u64) {
        match self.holes.last_mut().filter(|hole| hole.segment == segment) {
            Some(hole) => {
                hole.groups += groups;
                hole.bytes += bytes;
            }
            None => self.holes.push(Hole { segment, groups, bytes }),
        }
    }
}

impl Log {
    /// Shows every record of every whole group at or after `from`, which must be where
    /// [`Log::end`] once was and everything before it synced; or of the whole log.
    ///
    /// What is shown is durable when this returns `Ok`; after an error what was shown
    /// does not count.
    ///
    /// # Errors
    /// When a file cannot be opened or synced. Damage is no error.
    pub(crate) fn replay(
        &mut self,
        from: Option<Position>,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<Replayed, StoreError> {
        let mut replay = Replay { from, expected: None, replayed: Replayed::default(), visit };
        if self.writer.is_some() {
            self.sync()?;
        }
        let wanted = self.segments_from(from.map_or(0, |from| from.segment));
        for (at, (number, segment)) in wanted.iter().enumerate() {
            replay.enter(*number, at.checked_sub(1).map(|before| wanted[before].0));
            let mut contents = self.contents(*number, segment.bytes)?;
            contents.complete &= segment.salt.is_some();
            let scanned = Scanned::new(*number, segment, &contents.bytes);
            match wanted.get(at + 1) {
                Some((_, next)) => replay.older(scanned, next.first),
                None if self.writer.is_some() => replay.older(scanned, self.next_group),
                None => {
                    let kept = replay.newest(&scanned);
                    self.secure(*number, kept, &contents)?;
                }
            }
        }
        let Replay { expected, replayed, .. } = replay;
        if self.writer.is_none() {
            self.names_unsynced = true;
            self.sync_names()?;
            let beyond = |from: Position| match from.offset {
                0..=HEADER_LEN => from.segment,
                _ => from.segment.saturating_add(1),
            };
            self.next_segment = self.next_segment.max(from.map_or(1, beyond)).max(1);
            self.next_group = Some(expected.unwrap_or(1).max(1));
            self.synced = self.next_group();
        }
        Ok(replayed)
    }

    /// Cuts off what is torn and makes what was shown survive the next power cut. A process that
    /// was killed may have written it and not synced it, or failed to; so it is written again.
    fn secure(&mut self, number: u32, kept: Kept, contents: &Contents) -> Result<(), StoreError> {
        let path = segment::path(&self.dir, number);
        let file = self.files.open(&path).map_err(StoreError::io("open", &path))?;
        let end = kept.end.min(contents.bytes.len());
        let unsure = contents.bytes.get(kept.synced..end).unwrap_or_default();
        if contents.complete && !unsure.is_empty() {
            self.bytes_written += unsure.len() as u64;
            let written = file.write_at(unsure, kept.synced as u64);
            written.map_err(StoreError::io("write", &path))?;
        }
        // Where cutting fails, the next segment's header still tells that the groups are void.
        let torn = contents.complete && contents.bytes.len() > end;
        let cut = torn && file.set_len(end as u64).is_ok();
        if let Some(segment) = self.segments.get_mut(&number) {
            let header = Header { segment: number, first: kept.first, secret: self.secret };
            if contents.complete && !segment.sound && segment.salt == Some(header.salt()) {
                // Else nothing would tell later whether groups were lost with it.
                file.write_at(&header.encode(), 0).map_err(StoreError::io("write", &path))?;
                *segment = Segment { bytes: segment.bytes, ..Segment::begun(&header) };
            }
            segment.bytes = if cut { end as u64 } else { segment.bytes };
            segment.bytes = segment.bytes.max(u64::from(HEADER_LEN));
        }
        file.sync_data().map_err(StoreError::io("sync", &path))?;
        self.syncs += 1;
        Ok(())
    }

    /// The segments to be read to show those from `begin` on: earlier ones tell the numbers of
    /// the groups where `begin` does not.
    fn segments_from(&self, begin: u32) -> Vec<(u32, Segment)> {
        let known = |(number, segment): (&u32, &Segment)| segment.first.map(|_| *number);
        let start = self.segments.range(..=begin).rev().find_map(known).unwrap_or(0);
        self.segments.range(start..).map(|(number, segment)| (*number, *segment)).collect()
    }

    fn contents(&self, number: u32, bytes: u64) -> Result<Contents, StoreError> {
        let path = segment::path(&self.dir, number);
        let file = self.files.open_to_read(&path).map_err(StoreError::io("open", &path))?;
        Ok(Contents::read(&*file, usize::try_from(bytes).unwrap_or(usize::MAX)))
    }
}

/// A segment's bytes.
struct Contents {
    bytes: Vec<u8>,
    /// Whether all could be read and understood; what could not be read is zeros.
    complete: bool,
}

impl Contents {
    fn read(file: &dyn OpenFile, len: usize) -> Self {
        let mut bytes = vec![0; len];
        let mut complete = true;
        if file.read_at(&mut bytes, 0).is_err() {
            const PIECE: usize = 4096;
            let mut offset = 0;
            for piece in bytes.chunks_mut(PIECE) {
                if file.read_at(piece, offset).is_err() {
                    piece.fill(0);
                    complete = false;
                }
                offset += piece.len() as u64;
            }
        }
        Self { bytes, complete }
    }
}

/// What counts of the newest segment.
#[derive(Clone, Copy)]
struct Kept {
    /// Number of the first group in it, or of the next one if there is none.
    first: u64,
    /// So many bytes are known to be on disk.
    synced: usize,
    /// So many bytes count.
    end: usize,
}

/// A segment and the groups in it.
struct Scanned<'a> {
    number: u32,
    first: Option<u64>,
    bytes: &'a [u8],
    groups: Vec<Found>,
}

impl<'a> Scanned<'a> {
    fn new(number: u32, segment: &Segment, bytes: &'a [u8]) -> Self {
        let find = |salt| find_all(bytes, HEADER_LEN as usize, salt);
        let groups = segment.salt.map(find).unwrap_or_default();
        Self { number, first: segment.first, bytes, groups }
    }

    /// Bytes from `start` up to the last that is not zero.
    fn used_from(&self, start: usize) -> u64 {
        let rest = self.bytes.get(start..).unwrap_or_default();
        rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
    }
}

struct Replay<'a> {
    from: Option<Position>,
    /// Number of the group that comes next, if known.
    expected: Option<u64>,
    replayed: Replayed,
    visit: &'a mut dyn FnMut(Record<'_>),
}

impl Replay<'_> {
    /// Begins segment `number`, which follows `before`. That of `from` may have been removed;
    /// but not the one behind it.
    fn enter(&mut self, number: u32, before: Option<u32>) {
        if let Some(from) = self.from.map(|from| from.segment)
            && before.is_none_or(|before| before < from)
            && number > from.saturating_add(1)
        {
            self.replayed.hole(number - 1, 1, 0);
        }
    }

    /// A segment that is followed by one whose first group is `next`: all groups before that
    /// one were synced, and all others are void.
    fn older(&mut self, mut segment: Scanned<'_>, next: Option<u64>) {
        let durable = next.unwrap_or(u64::MAX);
        segment.groups.retain(|group| group.number < durable);
        let end = self.walk(&segment, durable);
        if let Some(next) = next {
            let expected = self.expected.unwrap_or(next.saturating_sub(1).max(1));
            let wanted = self.from.is_none_or(|from| segment.number >= from.segment);
            if next > expected && wanted {
                let bytes = segment.used_from(end);
                self.replayed.hole(segment.number, next - expected, bytes);
            }
            self.expected = Some(next.max(expected));
        }
    }

    /// The newest segment; returns what of it counts.
    fn newest(&mut self, segment: &Scanned<'_>) -> Kept {
        let durable = segment.groups.iter().map(|group| group.synced).max().unwrap_or(0);
        let first = self.expected.max(segment.first);
        let mut end = self.walk(segment, durable);
        if let Some(from) = self.from.filter(|from| from.segment == segment.number) {
            end = end.max(from.offset as usize);
        }
        self.replayed.torn_bytes = segment.used_from(end);
        let synced = segment.groups.iter().take_while(|group| group.number < durable).last();
        // Where nothing is kept, what is found there is void.
        let found = segment.groups.first().filter(|_| end > HEADER_LEN as usize);
        let first = first.or(found.map(|group| group.number)).or(self.expected).unwrap_or(1);
        Kept { first, synced: synced.map_or(0, |group| group.end), end }
    }

    /// Shows the segment's groups up to where one is missing that was not `durable`, which
    /// those with lower numbers are. Returns where it stopped.
    fn walk(&mut self, segment: &Scanned<'_>, durable: u64) -> usize {
        let mut at = HEADER_LEN as usize;
        self.expected = self.expected.max(segment.first);
        for group in &segment.groups {
            // Where nothing tells which group was to come, one is missing at least.
            let missing = u64::from(group.start > at);
            let expected = self.expected.unwrap_or(group.number.saturating_sub(missing));
            if group.number < expected {
                continue;
            }
            if group.number > expected {
                let wanted = self.wanted(segment.number, at);
                if wanted && expected >= durable {
                    return at;
                }
                if wanted {
                    let bytes = (group.start - at) as u64;
                    self.replayed.hole(segment.number, group.number - expected, bytes);
                }
            }
            if self.wanted(segment.number, group.start) {
                self.show(segment, group);
            }
            at = group.end;
            self.expected = Some(group.number + 1);
        }
        at
    }

    fn wanted(&self, segment: u32, offset: usize) -> bool {
        self.from.is_none_or(|from| (segment, offset) >= (from.segment, from.offset as usize))
    }

    fn show(&mut self, segment: &Scanned<'_>, group: &Found) {
        let Some(bytes) = segment.bytes.get(group.start..group.end) else { return };
        let position = |within: usize| Position {
            segment: segment.number,
            offset: u32::try_from(group.start + within).unwrap_or(u32::MAX),
        };
        self.replayed.groups += 1;
        for record in records(bytes).flatten() {
            self.replayed.records += 1;
            (self.visit)(Record {
                kind: record.kind,
                bytes: record.bytes,
                position: position(record.start),
                base: position(super::GROUP_HEAD),
                group: group.number,
                #[cfg(test)]
                last: record.start + super::group::RECORD_HEAD + record.bytes.len() == bytes.len(),
            });
        }
    }
}
