//! What one instance has taken of its memory and tables.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::spec::ExtensionLimits;
use crate::stats::Counters;

/// Core instances, memories and tables that a component may consist of: adapters and libraries need
/// a few, an attacker wants thousands.
const MAX_CORE_INSTANCES: usize = 64;
const MAX_MEMORIES: usize = 4;
const MAX_TABLES: usize = 32;

/// Grants memory and table space up to the limits, over all memories and tables of the instance, and remembers
/// what it refused.
#[derive(Debug)]
pub(crate) struct Ledger {
    memory_limit: usize,
    memory: usize,
    /// What it had when it was ready.
    memory_at_first: usize,
    table_limit: usize,
    table: usize,
    refused: Option<Refusal>,
    counters: Arc<Counters>,
}

/// A request that was turned down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) what: &'static str,
    pub(crate) wanted: usize,
    pub(crate) limit: usize,
}

impl Ledger {
    pub(crate) fn new(limits: &ExtensionLimits, counters: Arc<Counters>) -> Self {
        counters.instances.count();
        Self {
            memory_limit: limits.memory_bytes,
            memory: 0,
            memory_at_first: 0,
            table_limit: limits.table_elements,
            table: 0,
            refused: None,
            counters,
        }
    }

    /// The instance is ready: what it takes from here on, calls take.
    pub(crate) fn begin(&mut self) {
        self.memory_at_first = self.memory;
    }

    /// Whether calls have taken most of the memory that was left for them. Runtimes that collect garbage late, or
    /// never, come to that; one that is replaced in time refuses nobody.
    pub(crate) fn is_nearly_full(&self) -> bool {
        let (left, taken) =
            (self.memory_limit.saturating_sub(self.memory), self.memory - self.memory_at_first);
        taken > 0 && left < taken / 3
    }

    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.refused
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.counters.instances.subtract(1);
        self.counters.memory_bytes.subtract(self.memory as u64);
    }
}

impl ResourceLimiter for Ledger {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let wanted = self.memory.saturating_add(growth);
        if wanted > self.memory_limit {
            self.refused =
                Some(Refusal { what: "bytes of memory", wanted, limit: self.memory_limit });
            return Ok(false);
        }
        self.memory = wanted;
        self.counters.memory_bytes.add(growth as u64);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.table.saturating_add(desired.saturating_sub(current));
        if wanted > self.table_limit {
            self.refused =
                Some(Refusal { what: "table elements", wanted, limit: self.table_limit });
            return Ok(false);
        }
        self.table = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_all_memories_together_and_gives_back_at_the_end() {
        let counters = Arc::new(Counters::default());
        let limits = ExtensionLimits { memory_bytes: 3 << 16, ..ExtensionLimits::default() };
        let mut ledger = Ledger::new(&limits, Arc::clone(&counters));
        assert!(ledger.memory_growing(0, 1 << 16, None).unwrap());
        assert!(ledger.memory_growing(0, 2 << 16, None).unwrap());
        assert!(!ledger.memory_growing(1 << 16, 2 << 16, None).unwrap());
        assert_eq!(
            ledger.refused(),
            Some(Refusal { what: "bytes of memory", wanted: 4 << 16, limit: 3 << 16 })
        );
        assert_eq!(counters.snapshot().memory_bytes, 3 << 16);
        drop(ledger);
        assert_eq!(counters.snapshot(), crate::Stats::default());
    }

    #[test]
    fn what_calls_have_taken_of_what_was_left_for_them_decides() {
        let limits = ExtensionLimits { memory_bytes: 16 << 16, ..ExtensionLimits::default() };
        let mut ledger = Ledger::new(&limits, Arc::default());
        let grow = |ledger: &mut Ledger, pages: usize| {
            assert!(ledger.memory_growing(0, pages << 16, None).unwrap());
        };
        grow(&mut ledger, 8);
        assert!(!ledger.is_nearly_full(), "it is not ready yet");
        ledger.begin();
        assert!(!ledger.is_nearly_full(), "no call has taken anything");
        grow(&mut ledger, 6);
        assert!(!ledger.is_nearly_full(), "a quarter of its room is left");
        grow(&mut ledger, 1);
        assert!(ledger.is_nearly_full());
    }
}
