/// Where something begins in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    /// Number of the segment file.
    pub(crate) segment: u32,
    /// Bytes from the file's beginning.
    pub(crate) offset: u32,
}

impl Position {
    /// Where the record of `slot` is, when `self` is where its group's first record is.
    #[must_use]
    pub(crate) const fn at(self, slot: Slot) -> Self {
        Self { segment: self.segment, offset: self.offset.saturating_add(slot.0) }
    }
}

/// A record's place in its group: known before the group's place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u32);

impl Slot {
    /// The place `bytes` after the group's first record; [`Slot::bytes`] gives it back.
    #[must_use]
    pub(crate) const fn new(bytes: u32) -> Self {
        Self(bytes)
    }

    /// Bytes from the group's first record.
    #[must_use]
    pub(crate) const fn bytes(self) -> u32 {
        self.0
    }
}
