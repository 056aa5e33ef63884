//! A group: what is durable wholly or not at all.
//!
//! ```text
//! head    magic u32, salt u32, number u64, unsynced u32, count u32, len u32, sums u32, crc u32
//! records len u32, kind u8, crc u32, bytes      (count of them, len bytes in all)
//! ```
//!
//! A record's crc covers where it lies, so that one can be read by its position alone;
//! `sums` covers the crcs of all, so that what two writes to the same place left cannot
//! be taken for one group.

use super::{
    header::Salt,
    position::Slot,
    wire::{u32_at, u64_at},
};

pub(super) const GROUP_HEAD: usize = 36;
pub(super) const RECORD_HEAD: usize = 9;

const MAGIC: [u8; 4] = [0xF1, b'g', b'r', 0x9E];

/// Gathers the records of one group.
#[derive(Debug)]
pub(crate) struct GroupBuilder {
    /// Room for the head, then the records, their sums still missing.
    bytes: Vec<u8>,
    count: u32,
}

impl GroupBuilder {
    /// An empty group.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; GROUP_HEAD], count: 0 }
    }

    /// Adds a record; `fill` appends its bytes to what it is given, and takes nothing away.
    pub(crate) fn push(&mut self, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) -> Slot {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; RECORD_HEAD]);
        fill(&mut self.bytes);
        debug_assert!(self.bytes.len() >= start + RECORD_HEAD, "a record took bytes away");
        let len = self.bytes.len().saturating_sub(start + RECORD_HEAD);
        // A group that is longer than the lengths can say is refused when it is appended.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&len.to_be_bytes());
        self.bytes[start + 4] = kind;
        self.count += 1;
        Slot::new(u32::try_from(start - GROUP_HEAD).unwrap_or(u32::MAX))
    }

    /// Bytes that it takes in the log.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no records; then there is nothing to append.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets the records and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(GROUP_HEAD);
        self.count = 0;
    }

    /// Appends the group to `out`, complete for its place in the log.
    pub(super) fn seal(&self, place: Place, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let group = &mut out[start..];
        let mut sums = crc32fast::Hasher::new();
        let mut at = GROUP_HEAD;
        while at < group.len() {
            let len = u32_at(group, at).map_or(0, |len| len as usize);
            let end = at + RECORD_HEAD + len;
            let Some(bytes) = group.get(at + RECORD_HEAD..end) else { break };
            let sum = record_sum(place.salt, offset(place.offset, at), group[at + 4], bytes);
            group[at + 5..at + 9].copy_from_slice(&sum.to_be_bytes());
            sums.update(&sum.to_be_bytes());
            at = end;
        }
        let len = u32::try_from(group.len() - GROUP_HEAD).unwrap_or(u32::MAX);
        group[..4].copy_from_slice(&MAGIC);
        group[4..8].copy_from_slice(&place.salt.0.to_be_bytes());
        group[8..16].copy_from_slice(&place.number.to_be_bytes());
        group[16..20].copy_from_slice(&place.unsynced.to_be_bytes());
        group[20..24].copy_from_slice(&self.count.to_be_bytes());
        group[24..28].copy_from_slice(&len.to_be_bytes());
        group[28..32].copy_from_slice(&sums.finalize().to_be_bytes());
        let crc = crc32fast::hash(&group[..32]);
        group[32..36].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Where a group goes, and what else its head says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) salt: Salt,
    /// Where its head goes in the file.
    pub(super) offset: u32,
    pub(super) number: u64,
    /// How many groups before it were not known to be on disk when it was written.
    pub(super) unsynced: u32,
}

/// A whole group that was found in a segment's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) number: u64,
    /// Every group with a lower number was on disk when this one was written.
    pub(super) synced: u64,
}

impl Found {
    /// The group at `start`, if everything about it is right.
    pub(super) fn at(bytes: &[u8], start: usize, salt: Salt) -> Option<Self> {
        let head = Head::at(bytes, start).filter(|head| head.salt == salt)?;
        let end = start.checked_add(GROUP_HEAD)?.checked_add(head.len)?;
        let group = bytes.get(start..end)?;
        let mut sums = crc32fast::Hasher::new();
        let mut count = 0;
        for record in records(group) {
            let record = record?;
            let place = offset(u32::try_from(start).ok()?, record.start);
            (record_sum(salt, place, record.kind, record.bytes) == record.sum).then_some(())?;
            sums.update(&record.sum.to_be_bytes());
            count += 1;
        }
        let right = count == head.count && sums.finalize() == head.sums;
        let synced = head.number.saturating_sub(u64::from(head.unsynced));
        right.then_some(Self { start, end, number: head.number, synced })
    }
}

/// All whole groups in a segment's bytes from `start` on, by rising number.
pub(super) fn find_all(bytes: &[u8], start: usize, salt: Salt) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut at = start;
    while let Some(candidate) = next_magic(bytes, at) {
        let last = found.last().map_or(0, |group| group.number);
        match Found::at(bytes, candidate, salt).filter(|group| group.number > last) {
            Some(group) => {
                at = group.end;
                found.push(group);
            }
            None => at = candidate + 1,
        }
    }
    found
}

fn next_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(MAGIC.len()).position(|window| window == MAGIC).map(|at| from + at)
}

/// A group's head, right in itself.
pub(super) struct Head {
    pub(super) salt: Salt,
    pub(super) number: u64,
    unsynced: u32,
    count: u32,
    len: usize,
    sums: u32,
}

impl Head {
    pub(super) fn at(bytes: &[u8], start: usize) -> Option<Self> {
        let head = bytes.get(start..start.checked_add(GROUP_HEAD)?)?;
        let right = head.starts_with(&MAGIC) && u32_at(head, 32)? == crc32fast::hash(&head[..32]);
        right.then_some(())?;
        Some(Self {
            salt: Salt(u32_at(head, 4)?),
            number: u64_at(head, 8)?,
            unsynced: u32_at(head, 16)?,
            count: u32_at(head, 20)?,
            len: u32_at(head, 24)? as usize,
            sums: u32_at(head, 28)?,
        })
    }
}

/// One record as it lies in a group.
pub(super) struct Raw<'a> {
    /// Bytes from the group's head.
    pub(super) start: usize,
    pub(super) kind: u8,
    pub(super) sum: u32,
    pub(super) bytes: &'a [u8],
}

/// The records of a group; ends with `None` where one is longer than what is there.
pub(super) fn records(group: &[u8]) -> impl Iterator<Item = Option<Raw<'_>>> {
    let mut at = GROUP_HEAD;
    std::iter::from_fn(move || {
        (at < group.len()).then(|| {
            let record = raw(group, at);
            at = record.as_ref().map_or(group.len(), |raw| at + RECORD_HEAD + raw.bytes.len());
            record
        })
    })
}

fn raw(group: &[u8], start: usize) -> Option<Raw<'_>> {
    let RecordHead { len, kind, sum } = RecordHead::decode(group.get(start..)?)?;
    let bytes = group.get(start + RECORD_HEAD..)?.get(..len as usize)?;
    Some(Raw { start, kind, sum, bytes })
}

/// What stands before a record's bytes.
pub(super) struct RecordHead {
    pub(super) len: u32,
    pub(super) kind: u8,
    pub(super) sum: u32,
}

impl RecordHead {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self { len: u32_at(bytes, 0)?, kind: *bytes.get(4)?, sum: u32_at(bytes, 5)? })
    }
}

/// The sum of a record at `offset` of a segment.
pub(super) fn record_sum(salt: Salt, offset: u32, kind: u8, bytes: &[u8]) -> u32 {
    let mut place = [0; 9];
    place[..4].copy_from_slice(&salt.0.to_be_bytes());
    place[4..8].copy_from_slice(&offset.to_be_bytes());
    place[8] = kind;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&place);
    sum.update(bytes);
    sum.finalize()
}

fn offset(group: u32, within: usize) -> u32 {
    group.saturating_add(u32::try_from(within).unwrap_or(u32::MAX))
}
