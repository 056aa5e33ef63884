use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use session::Timestamp;

/// Everything that is due at some time.
///
/// Entries are never cancelled: what they name is looked at again when they fall due,
/// and an entry that means nothing any more is dropped then. A session has one alarm, for
/// the first of its deadlines, so that a client that comes and goes leaves no trail.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Timestamp, Alarm)>>,
    /// Deliveries to write if still unconfirmed then. All have the same delay, so they
    /// fall due in the order in which they were added.
    writes: VecDeque<(Timestamp, Write)>,
}

/// When a session is to be looked at: its client may have been silent too long, or its
/// authorization, its expiry interval or the delay of its will may be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alarm {
    pub(crate) session: u32,
    pub(crate) uid: u64,
}

/// A delivery of a durable session that is in memory only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) session: u32,
    pub(crate) uid: u64,
    pub(crate) sequence: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Timestamp, alarm: Alarm) {
        self.heap.push(Reverse((at, alarm)));
    }

    pub(crate) fn write_at(&mut self, at: Timestamp, write: Write) {
        self.writes.push_back((at, write));
    }

    /// The earliest moment at which something is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let alarm = self.heap.peek().map(|Reverse((at, _))| *at);
        let write = self.writes.front().map(|(at, _)| *at);
        [alarm, write].into_iter().flatten().min()
    }

    pub(crate) fn due(&mut self, now: Timestamp) -> Option<Alarm> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, alarm))| alarm)
    }

    pub(crate) fn due_write(&mut self, now: Timestamp) -> Option<Write> {
        let (at, _) = self.writes.front()?;
        if *at > now {
            return None;
        }
        self.writes.pop_front().map(|(_, write)| write)
    }
}
