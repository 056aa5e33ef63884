//! How much memory the process may use, how much it uses, and what is to be done about it.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use broker::Memory;
use tokio::time::Instant;

use crate::hub::Hub;
use crate::{HEAP, machine};

/// How often the heap is looked at, besides when it has grown beyond what the next level begins with.
const LOOK: Duration = Duration::from_millis(250);

/// How often it is at rest: while memory is ample, and the heap as large as before.
const LOOK_AT_REST: Duration = Duration::from_secs(1);

/// How often the kernel is asked what is resident, at least, and by how many bytes the heap has changed when it is asked again.
const ASK_KERNEL: Duration = Duration::from_secs(1);
const ASK_KERNEL_AFTER: usize = 256 * 1024;

/// From these percents of the budget on memory is tight, or full.
const TIGHT: usize = 80;
const FULL: usize = 90;

/// So many percents lower it is not any more. Otherwise each message that leaves would let one in.
const EASES: usize = 5;

/// What memory comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// What may be used.
    pub(crate) budget: usize,
    /// What is used, without what the allocator holds for later.
    pub(crate) used: usize,
    /// What the kernel says is resident; 0 where it does not say.
    pub(crate) resident: usize,
    /// What is allocated on the heap.
    pub(crate) heap: usize,
}

/// Knows what is used from two measures that each lack something: the heap, which is known at each moment and is not all, and what is
/// resident, which is all and does not shrink when something is freed, since the allocator keeps it for later.
#[derive(Debug)]
struct Gauge {
    /// The most that each has been, and what has been used by that.
    heap_most: usize,
    resident_most: usize,
    /// At the last look into the kernel's books.
    heap: usize,
    resident: usize,
}

impl Gauge {
    fn new(heap: usize, resident: Option<usize>) -> Self {
        let resident = resident.unwrap_or(0);
        Self { heap_most: heap, resident_most: resident, heap, resident }
    }

    /// So much is on the heap. What comes and goes between two looks is not known of, and counts as used where the allocator
    /// keeps it.
    fn note(&mut self, heap: usize) {
        self.heap_most = self.heap_most.max(heap);
    }

    /// So much is resident.
    fn look(&mut self, heap: usize, resident: Option<usize>) {
        let resident = resident.unwrap_or(0);
        self.note(heap);
        self.resident_most = self.resident_most.max(resident);
        (self.heap, self.resident) = (heap, resident);
    }

    /// What is used while so much is on the heap.
    fn used(&self, heap: usize) -> usize {
        let freed = self.heap_most - self.heap.min(self.heap_most);
        let returned = self.resident_most - self.resident.min(self.resident_most);
        // What was freed and not returned to the system is there for the next who asks.
        let held = freed.saturating_sub(returned);
        let used = self.resident.saturating_sub(held).saturating_add(heap);
        used.saturating_sub(self.heap).max(heap)
    }
}

/// Bytes of the budget from which on there is less memory than `now`.
fn rises_at(now: Memory, budget: usize) -> usize {
    match now {
        Memory::Ample => budget / 100 * TIGHT,
        Memory::Tight => budget / 100 * FULL,
        Memory::Full => usize::MAX,
    }
}

/// How much memory there is, where it was `before` and this much of the budget is used.
fn level(before: Memory, used: usize, budget: usize) -> Memory {
    let is = |memory: Memory, percent: usize| {
        let percent = if before >= memory { percent - EASES } else { percent };
        used >= budget / 100 * percent
    };
    match () {
        () if is(Memory::Full, FULL) => Memory::Full,
        () if is(Memory::Tight, TIGHT) => Memory::Tight,
        () => Memory::Ample,
    }
}

/// Watches over the budget, for ever: what the operator has stated, or what the machine suggests.
pub(crate) async fn keep(hub: Arc<Hub>, stated: Option<u64>) {
    let budget = machine::memory_budget(stated);
    let mut gauge = Gauge::new(HEAP.allocated(), resident());
    let mut asked = Instant::now();
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hub.memory_rises() => {}
        }
        let now = Instant::now();
        let heap = HEAP.allocated();
        gauge.note(heap);
        let changed = heap.abs_diff(gauge.heap) >= ASK_KERNEL_AFTER;
        if changed || now.saturating_duration_since(asked) >= ASK_KERNEL {
            gauge.look(heap, resident());
            asked = now;
        }
        let usage = Usage { budget, used: gauge.used(heap), resident: gauge.resident, heap };
        let before = hub.memory();
        let memory = level(before, usage.used, budget);
        // What grows beyond a level rings; and a board at rest is to sleep.
        let is_at_rest = memory == Memory::Ample && !changed;
        pause = if is_at_rest { LOOK_AT_REST } else { LOOK };
        let lacking = rises_at(memory, budget).saturating_sub(usage.used);
        hub.note_memory(usage, heap.saturating_add(lacking));
        if memory != before {
            hub.set_memory(memory);
            report(before, memory, usage);
        }
    }
}

fn report(before: Memory, memory: Memory, usage: Usage) {
    let Usage { budget, used, resident, heap } = usage;
    match memory {
        Memory::Ample => {
            tracing::info!(used, budget, resident, heap, "memory is ample again");
        }
        Memory::Tight if before == Memory::Full => {
            tracing::warn!(
                used,
                budget,
                resident,
                heap,
                "publishes are taken again; memory is tight"
            );
        }
        Memory::Tight => tracing::warn!(
            used,
            budget,
            resident,
            heap,
            "memory is tight; connections, subscriptions and retained messages are refused"
        ),
        Memory::Full => tracing::error!(
            used,
            budget,
            resident,
            heap,
            "memory is used up; publishes are refused as well. Raise limits.memory, or lower what clients may keep"
        ),
    }
}

/// Bytes of the process that are in memory, where the kernel says so.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    of_status(&status)
}

fn of_status(status: &str) -> Option<usize> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn what_the_heap_grows_by_counts_at_once() {
        let gauge = Gauge::new(20 * MIB, Some(50 * MIB));
        assert_eq!(gauge.used(20 * MIB), 50 * MIB);
        assert_eq!(gauge.used(90 * MIB), 120 * MIB);
        assert_eq!(gauge.used(10 * MIB), 40 * MIB);
    }

    #[test]
    fn what_is_freed_is_not_used_although_it_stays_resident() {
        let mut gauge = Gauge::new(20 * MIB, Some(50 * MIB));
        gauge.look(220 * MIB, Some(260 * MIB));
        assert_eq!(gauge.used(220 * MIB), 260 * MIB, "more is resident than was allocated");
        // Everything is freed, and nothing returned to the system.
        gauge.look(20 * MIB, Some(260 * MIB));
        assert_eq!(gauge.used(20 * MIB), 60 * MIB);
        // It is used again.
        assert_eq!(gauge.used(120 * MIB), 160 * MIB);
        // Half of it is returned.
        gauge.look(20 * MIB, Some(160 * MIB));
        assert_eq!(gauge.used(20 * MIB), 60 * MIB);
        // All of it, and what others than the heap had.
        gauge.look(20 * MIB, Some(40 * MIB));
        assert_eq!(gauge.used(20 * MIB), 40 * MIB);
    }

    #[test]
    fn what_is_not_on_the_heap_counts_too() {
        let mut gauge = Gauge::new(20 * MIB, Some(50 * MIB));
        gauge.look(20 * MIB, Some(150 * MIB));
        assert_eq!(gauge.used(20 * MIB), 150 * MIB, "an extension has grown");
        let unknown = Gauge::new(20 * MIB, None);
        assert_eq!(unknown.used(30 * MIB), 30 * MIB, "the kernel says nothing");
    }

    #[test]
    fn a_level_that_is_reached_is_left_a_little_lower() {
        let up = |used| level(Memory::Ample, used * MIB, 1000 * MIB);
        let down = |used| level(Memory::Full, used * MIB, 1000 * MIB);
        assert_eq!([up(799), up(800), up(899), up(900)].map(|it| it as u8), [0, 1, 1, 2]);
        assert_eq!([down(850), down(849), down(750), down(749)].map(|it| it as u8), [2, 1, 1, 0]);
        let tight = |used| level(Memory::Tight, used * MIB, 1000 * MIB);
        assert_eq!(
            [tight(899), tight(900), tight(751), tight(749)].map(|it| it as u8),
            [1, 2, 1, 0]
        );
    }

    #[test]
    fn the_kernel_says_what_is_resident() {
        let status = "Name:\tportcullis\nVmPeak:\t  204800 kB\nVmRSS:\t   51200 kB\nThreads:\t4\n";
        assert_eq!(of_status(status), Some(50 * MIB));
        assert_eq!(of_status("Name:\tx\n"), None);
        assert!(resident().is_some_and(|bytes| bytes > MIB));
    }
}
