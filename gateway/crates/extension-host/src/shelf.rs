//! Where a guest finds its cache: the extension's, or one of its own while it only watches.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::cache::Cache;
use crate::extension::lock;

/// The cache of one generation.
#[derive(Debug)]
pub(crate) struct Shelf {
    limit_bytes: usize,
    of_extension: Arc<Mutex<Cache>>,
    /// That of a rehearsal: a guest that counts would otherwise count each client twice. None until it is used, and when
    /// the rehearsal has ended.
    of_rehearsal: Mutex<Option<Cache>>,
}

impl Shelf {
    /// One with a cache of so many bytes, for a new extension.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let of_extension = Arc::new(Mutex::new(Cache::new(limit_bytes)));
        Self { limit_bytes, of_extension, of_rehearsal: Mutex::default() }
    }

    /// That of another generation: the extension's cache is the same one, the rehearsal's is empty.
    pub(crate) fn of_another_generation(&self) -> Self {
        let of_extension = Arc::clone(&self.of_extension);
        Self { limit_bytes: self.limit_bytes, of_extension, of_rehearsal: Mutex::default() }
    }

    /// Does something with the cache that counts.
    pub(crate) fn with<R>(&self, rehearsal: &AtomicBool, act: impl FnOnce(&mut Cache) -> R) -> R {
        if rehearsal.load(Ordering::Relaxed) {
            let mut own = lock(&self.of_rehearsal);
            // Looked at again, since the rehearsal may have ended before there was the lock; who ends it takes the
            // lock after that, so nothing is left behind.
            if rehearsal.load(Ordering::Relaxed) {
                return act(own.get_or_insert_with(|| Cache::new(self.limit_bytes)));
            }
        }
        act(&mut lock(&self.of_extension))
    }

    /// Forgets what was kept for a rehearsal, which has ended or is about to begin.
    pub(crate) fn forget_rehearsal(&self) {
        *lock(&self.of_rehearsal) = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rehearsal_begins_empty_and_leaves_nothing() {
        let (live, watching) = (AtomicBool::new(false), AtomicBool::new(true));
        let count = |shelf: &Shelf, rehearsal: &AtomicBool| {
            let time = Duration::from_secs(1);
            shelf.with(rehearsal, |cache| cache.increment("n".into(), 1, Duration::ZERO, time))
        };
        let running = Shelf::new(4096);
        assert_eq!((count(&running, &live), count(&running, &live)), (1, 2));
        let candidate = running.of_another_generation();
        assert_eq!((count(&candidate, &watching), count(&candidate, &watching)), (1, 2));
        assert_eq!(count(&running, &live), 3, "not counted twice");
        candidate.forget_rehearsal();
        assert_eq!(count(&candidate, &live), 4, "it decides now");
        assert_eq!(count(&candidate, &watching), 1, "another rehearsal begins anew");
    }

    #[test]
    fn the_cache_of_a_rehearsal_has_the_same_bound() {
        let shelf = Shelf::new(4096).of_another_generation();
        let watching = AtomicBool::new(true);
        for n in 0..100 {
            let put = |cache: &mut Cache| {
                cache.put(n.to_string(), vec![0; 100], Duration::from_secs(1));
            };
            shelf.with(&watching, put);
        }
        let kept = |n: i32| {
            shelf.with(&watching, |cache| cache.get(&n.to_string(), Duration::ZERO).is_some())
        };
        assert!((0..100).filter(|n| kept(*n)).count() <= 4096 / 100);
        assert!(kept(99));
    }
}
