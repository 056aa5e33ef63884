use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use session::Timestamp;

/// Everything that is due at some time.
///
/// Entries are never cancelled: what they name is looked at again when they fall due,
/// and an entry that means nothing any more is dropped then.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Timestamp, Timer)>>,
    /// Deliveries to write if still unconfirmed then. All have the same delay, so they
    /// fall due in the order in which they were added.
    writes: VecDeque<(Timestamp, Write)>,
}

/// Something due once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The client of this session may have been silent too long.
    KeepAlive { session: u32, uid: u64 },
    /// This session may have expired.
    Expiry { session: u32, uid: u64 },
    /// This session's will may be due.
    Will { session: u32, uid: u64 },
    /// This session's authorization may have run out.
    Authorization { session: u32, uid: u64 },
}

/// A delivery of a durable session that is in memory only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) session: u32,
    pub(crate) uid: u64,
    pub(crate) sequence: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Timestamp, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    pub(crate) fn write_at(&mut self, at: Timestamp, write: Write) {
        self.writes.push_back((at, write));
    }

    /// The earliest moment at which something is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let timer = self.heap.peek().map(|Reverse((at, _))| *at);
        let write = self.writes.front().map(|(at, _)| *at);
        [timer, write].into_iter().flatten().min()
    }

    pub(crate) fn due(&mut self, now: Timestamp) -> Option<Timer> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, timer))| timer)
    }

    pub(crate) fn due_write(&mut self, now: Timestamp) -> Option<Write> {
        let (at, _) = self.writes.front()?;
        if *at > now {
            return None;
        }
        self.writes.pop_front().map(|(_, write)| write)
    }
}
