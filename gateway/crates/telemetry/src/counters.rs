//! Counters by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts something that happens. Adding to it is one atomic instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts `n` at once.
    pub fn add(&self, n: u64) {
        // Counters are read for people: nothing is ordered by them.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a gateway, by name. Clones share them.
///
/// Names follow Prometheus: `portcullis_store_commits_total`. Ask for a counter once and keep it:
/// asking takes a lock, counting does not.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    by_name: Arc<Mutex<BTreeMap<&'static str, Arc<Counter>>>>,
}

impl Counters {
    /// No counters yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter of this name, which starts at 0.
    pub fn counter(&self, name: &'static str) -> Arc<Counter> {
        Arc::clone(self.lock().entry(name).or_default())
    }

    /// Every counter with its count, sorted by name.
    pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
        self.lock().iter().map(|(name, counter)| (*name, counter.get())).collect()
    }

    /// A panic elsewhere leaves the map whole: each change to it is a single insertion.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Arc<Counter>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_shared_and_sorted() {
        let counters = Counters::new();
        let writes = counters.counter("portcullis_store_writes_total");
        let commits = counters.clone().counter("portcullis_store_commits_total");
        writes.add(5);
        commits.increment();
        counters.counter("portcullis_store_writes_total").increment();
        assert_eq!(
            counters.snapshot(),
            [("portcullis_store_commits_total", 1), ("portcullis_store_writes_total", 6)]
        );
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let counters = Counters::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let counter = counters.counter("portcullis_test_total");
                    (0..10_000).for_each(|_| counter.increment());
                });
            }
        });
        assert_eq!(counters.snapshot(), [("portcullis_test_total", 40_000)]);
    }
}
