//! What happened to one extension since it was loaded.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the extension was loaded, and its present size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls of hooks that reached the guest.
    pub calls: u64,
    /// Calls that ended in a trap.
    pub traps: u64,
    /// Calls that were ended at their deadline.
    pub deadline_exceeded: u64,
    /// Calls during which memory or table space was refused.
    pub memory_refused: u64,
    /// Calls answered with an error by the guest (`hook-error`).
    pub unavailable: u64,
    /// Calls answered outside of the contract.
    pub invalid_answers: u64,
    /// Calls for which no instance became free in time.
    pub saturated: u64,
    /// Calls turned away by the breaker.
    pub turned_away: u64,
    /// Times that a breaker opened.
    pub breaker_open: u64,
    /// Instances made after the first.
    pub rebuilt: u64,
    /// Log lines dropped because of the rate.
    pub log_dropped: u64,
    /// Changes of metrics that were refused.
    pub metrics_refused: u64,
    /// New versions that were dropped because they failed.
    pub rolled_back: u64,
    /// Reads of `key-value`: values and pages of keys.
    pub key_value_reads: u64,
    /// Changes of `key-value` that were made.
    pub key_value_writes: u64,
    /// Changes of `key-value` that were not made, or of which that is not known.
    pub key_value_failures: u64,
    /// Bytes of values that were read.
    pub key_value_bytes_read: u64,
    /// Bytes of values that were written.
    pub key_value_bytes_written: u64,
    /// Requests to servers, answered or not.
    pub http_requests: u64,
    /// Requests without an answer.
    pub http_failures: u64,
    /// Time that guests waited for servers, in microseconds.
    pub http_us: u64,
    /// Orders that were taken.
    pub orders_taken: u64,
    /// Orders that were not.
    pub orders_refused: u64,
    /// Orders that were taken and could not be carried out.
    pub orders_undone: u64,
    /// Instances that exist now.
    pub instances: u64,
    /// Bytes of linear memory that they have now.
    pub memory_bytes: u64,
}

/// The counters behind [`Stats`]: each stands alone, so no order between them is kept.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) calls: Counter,
    pub(crate) traps: Counter,
    pub(crate) deadline_exceeded: Counter,
    pub(crate) memory_refused: Counter,
    pub(crate) unavailable: Counter,
    pub(crate) invalid_answers: Counter,
    pub(crate) saturated: Counter,
    pub(crate) turned_away: Counter,
    pub(crate) breaker_open: Counter,
    pub(crate) built: Counter,
    pub(crate) log_dropped: Counter,
    pub(crate) metrics_refused: Counter,
    pub(crate) rolled_back: Counter,
    pub(crate) key_value_reads: Counter,
    pub(crate) key_value_writes: Counter,
    pub(crate) key_value_failures: Counter,
    pub(crate) key_value_bytes_read: Counter,
    pub(crate) key_value_bytes_written: Counter,
    pub(crate) http_requests: Counter,
    pub(crate) http_failures: Counter,
    pub(crate) http_us: Counter,
    pub(crate) orders_taken: Counter,
    pub(crate) orders_refused: Counter,
    pub(crate) orders_undone: Counter,
    pub(crate) instances: Counter,
    pub(crate) memory_bytes: Counter,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            calls: self.calls.get(),
            traps: self.traps.get(),
            deadline_exceeded: self.deadline_exceeded.get(),
            memory_refused: self.memory_refused.get(),
            unavailable: self.unavailable.get(),
            invalid_answers: self.invalid_answers.get(),
            saturated: self.saturated.get(),
            turned_away: self.turned_away.get(),
            breaker_open: self.breaker_open.get(),
            rebuilt: self.built.get().saturating_sub(1),
            log_dropped: self.log_dropped.get(),
            metrics_refused: self.metrics_refused.get(),
            rolled_back: self.rolled_back.get(),
            key_value_reads: self.key_value_reads.get(),
            key_value_writes: self.key_value_writes.get(),
            key_value_failures: self.key_value_failures.get(),
            key_value_bytes_read: self.key_value_bytes_read.get(),
            key_value_bytes_written: self.key_value_bytes_written.get(),
            http_requests: self.http_requests.get(),
            http_failures: self.http_failures.get(),
            http_us: self.http_us.get(),
            orders_taken: self.orders_taken.get(),
            orders_refused: self.orders_refused.get(),
            orders_undone: self.orders_undone.get(),
            instances: self.instances.get(),
            memory_bytes: self.memory_bytes.get(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn count(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
