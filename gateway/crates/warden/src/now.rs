/// A moment, by both clocks that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never jumps, since any moment: what is measured is measured by it.
    pub up_ms: u64,
    /// Milliseconds since the Unix epoch, as the system says. It may jump.
    pub unix_ms: u64,
}

impl Now {
    /// The moment `ms` milliseconds later, by both clocks.
    #[must_use]
    pub fn after_ms(self, ms: u64) -> Self {
        Self { up_ms: self.up_ms.saturating_add(ms), unix_ms: self.unix_ms.saturating_add(ms) }
    }
}
