use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use broker::{Limit, Memory};
use tokio::sync::Notify;

use super::Hub;
use crate::HEAP;
use crate::budget::Usage;

/// How much memory there is, to be read without the hub's lock.
#[derive(Debug)]
pub(super) struct Meter {
    level: AtomicU8,
    /// Bytes on the heap from which on there is less.
    rises_at: AtomicUsize,
    rung: Notify,
    usage: Mutex<Usage>,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            level: AtomicU8::new(0),
            rises_at: AtomicUsize::new(usize::MAX),
            rung: Notify::new(),
            usage: Mutex::default(),
        }
    }
}

impl Hub {
    /// How much memory there is, as far as that is known.
    pub(crate) fn memory(&self) -> Memory {
        match self.meter.level.load(Ordering::Relaxed) {
            0 => Memory::Ample,
            1 => Memory::Tight,
            _ => Memory::Full,
        }
    }

    /// So much there is from now on.
    pub(crate) fn set_memory(&self, memory: Memory) {
        self.meter.level.store(memory as u8, Ordering::Relaxed);
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.broker.set_memory(now, memory);
        self.finish(inner, None);
    }

    /// Something has come that may stay: whoever watches over memory is called if that is too much.
    pub(crate) fn watch_memory(&self) {
        if HEAP.allocated() >= self.meter.rises_at.load(Ordering::Relaxed) {
            self.meter.rung.notify_one();
        }
    }

    /// Waits until that is so.
    pub(crate) async fn memory_rises(&self) {
        self.meter.rung.notified().await;
    }

    /// What memory comes to, for the operator, and with how many bytes on the heap there is less of it.
    pub(crate) fn note_memory(&self, usage: Usage, rises_at: usize) {
        self.meter.rises_at.store(rises_at, Ordering::Relaxed);
        *self.meter.usage.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }

    /// What was noted last.
    pub(crate) fn memory_usage(&self) -> Usage {
        *self.meter.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nobody is let in, if it is for lack of memory; counted as a refusal. The broker would say the same, behind the
    /// extensions' work.
    pub(crate) fn lacks_memory_for_clients(&self) -> Option<&'static str> {
        if self.memory() == Memory::Ample {
            return None;
        }
        self.lock().broker.count_limit(Limit::Memory);
        Some("the memory that the gateway may use, `limits.memory`, is nearly used up")
    }
}
