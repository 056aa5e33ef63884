use std::collections::BTreeMap;

use crate::{log::Position, queue::Entry};

/// What queue entries keep alive, by segment of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    segments: BTreeMap<u32, Holdings>,
}

/// What is alive of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Entries whose message is in it.
    pub(crate) entries: u64,
    /// Bytes of messages, near enough: where several entries share one, each counts for its
    /// part, and a part that others gave up is not counted.
    pub(crate) bytes: u64,
}

impl Ledger {
    pub(crate) fn add(&mut self, entry: &Entry) {
        if let Some(Position { segment, .. }) = entry.message {
            let holdings = self.segments.entry(segment).or_default();
            holdings.entries += 1;
            holdings.bytes += entry.share();
        }
    }

    pub(crate) fn remove(&mut self, entry: &Entry) {
        let Some(Position { segment, .. }) = entry.message else { return };
        let gone = Holdings { entries: 1, bytes: entry.share() };
        self.take(segment, gone);
    }

    /// Removes all that `other` has.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for (segment, holdings) in &other.segments {
            self.take(*segment, *holdings);
        }
    }

    fn take(&mut self, segment: u32, gone: Holdings) {
        if let Some(holdings) = self.segments.get_mut(&segment) {
            holdings.entries = holdings.entries.saturating_sub(gone.entries);
            holdings.bytes = holdings.bytes.saturating_sub(gone.bytes);
            if holdings.entries == 0 {
                self.segments.remove(&segment);
            }
        }
    }

    pub(crate) fn holdings(&self, segment: u32) -> Holdings {
        self.segments.get(&segment).copied().unwrap_or_default()
    }

    /// The segments that any entry needs.
    pub(crate) fn segments(&self) -> impl Iterator<Item = u32> {
        self.segments.keys().copied()
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.segments.values().map(|holdings| holdings.bytes).sum()
    }
}
