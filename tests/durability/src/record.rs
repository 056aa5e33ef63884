use std::collections::HashMap;
use std::ops::Range;

use crate::clock::Tick;

/// One record of a trace (`shim/trace.c` writes them). Data is where it is in the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Write {
        inode: u64,
        offset: u64,
        data: Range<usize>,
    },
    SetLength {
        inode: u64,
        length: u64,
    },
    Zero {
        inode: u64,
        offset: u64,
        length: u64,
    },
    NewFile {
        inode: u64,
        path: String,
    },
    NewFolder {
        inode: u64,
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
    /// What was changed before is safe when the sync of this number has ended.
    SyncBegins {
        inode: u64,
        sync: u64,
        path: String,
    },
    SyncEnded {
        inode: u64,
        sync: u64,
    },
    /// Everything of a client up to this moment happened before what follows.
    Mark(Tick),
    /// The shim did not follow what was done.
    Unknown(String),
}

const MAGIC: u32 = 0x3154_4350;
const HEAD: usize = 40;

impl Record {
    /// The bytes of a mark.
    pub(crate) fn mark(tick: Tick) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&MAGIC.to_ne_bytes());
        bytes[4] = b'M';
        bytes[8..16].copy_from_slice(&tick.to_ne_bytes());
        bytes
    }

    /// All records of a trace. One that a kill cut short may be at the end, and is left out.
    pub(crate) fn all(trace: &[u8]) -> Vec<Self> {
        let mut records = Vec::new();
        let mut at = 0;
        while let Some((record, len)) = Self::read(trace, at) {
            records.push(record);
            at += len;
        }
        tell_apart(&mut records);
        records
    }

    fn inode(&mut self) -> Option<&mut u64> {
        match self {
            Self::Write { inode, .. }
            | Self::SetLength { inode, .. }
            | Self::Zero { inode, .. }
            | Self::NewFile { inode, .. }
            | Self::NewFolder { inode, .. }
            | Self::SyncBegins { inode, .. }
            | Self::SyncEnded { inode, .. } => Some(inode),
            Self::Rename { .. } | Self::Remove { .. } | Self::Mark(_) | Self::Unknown(_) => None,
        }
    }

    fn read(trace: &[u8], at: usize) -> Option<(Self, usize)> {
        let head = trace.get(at..at + HEAD)?;
        let word = |from: usize| u32::from_ne_bytes(head[from..from + 4].try_into().expect("4"));
        let number = |from: usize| u64::from_ne_bytes(head[from..from + 8].try_into().expect("8"));
        assert_eq!(word(0), MAGIC, "the trace is not readable at byte {at}");
        let (inode, b, c) = (number(8), number(16), number(24));
        let name_end = at + HEAD + word(32) as usize;
        let data = name_end..name_end + word(36) as usize;
        let text = |range: Range<usize>| {
            Some(String::from_utf8(trace.get(range)?.to_vec()).expect("paths of ours are text"))
        };
        let (path, all) = (text(at + HEAD..name_end)?, trace.get(data.clone())?);
        let len = HEAD + path.len() + all.len();
        let record = match head[4] {
            b'W' => Self::Write { inode, offset: b, data },
            b'T' => Self::SetLength { inode, length: b },
            b'Z' => Self::Zero { inode, offset: b, length: c },
            b'C' => Self::NewFile { inode, path },
            b'D' => Self::NewFolder { inode, path },
            b'R' => Self::Rename { from: path, to: text(data)? },
            b'U' => Self::Remove { path },
            b'S' => Self::SyncBegins { inode, sync: b, path },
            b'E' => Self::SyncEnded { inode, sync: b },
            b'M' => Self::Mark(inode),
            _ => Self::Unknown(path),
        };
        Some((record, len))
    }
}

/// Gives each file a number of its own. The inode of one that was removed is used again, while the
/// disk may still have the old one under its name.
fn tell_apart(records: &mut [Record]) {
    // Above all inodes that a file system gives out.
    let mut next = 1 << 56;
    let mut numbers: HashMap<u64, u64> = HashMap::new();
    for record in records {
        let new = matches!(record, Record::NewFile { .. } | Record::NewFolder { .. });
        let Some(inode) = record.inode() else { continue };
        if new {
            numbers.insert(*inode, next);
            next += 1;
        }
        *inode = numbers.get(inode).copied().unwrap_or(*inode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_and_a_torn_end_is_not() {
        let mut trace = Vec::new();
        trace.extend(Record::mark(7));
        trace.extend(Record::mark(8));
        assert_eq!(Record::all(&trace), [Record::Mark(7), Record::Mark(8)]);
        trace.pop();
        assert_eq!(Record::all(&trace), [Record::Mark(7)]);
    }
}
