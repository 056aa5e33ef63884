use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Turns to do what only so many may do at a time, where that number may change while turns are taken and waited for.
pub(crate) struct Turns {
    places: Arc<Semaphore>,
    size: Mutex<Size>,
}

#[derive(Default)]
struct Size {
    /// Places that there are, taken or not.
    there: usize,
    /// Places that there should be: fewer than there are, as long as too many are taken.
    wanted: usize,
}

/// A place that is taken. Dropped, it is free for the next, or is no more if there are too many.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { places: Arc::new(Semaphore::new(0)), size: Mutex::default() })
    }

    /// Waits for one of the places, which are `count` from now on.
    ///
    /// # Errors
    /// None: nobody closes them.
    pub(crate) async fn take(self: &Arc<Self>, count: usize) -> Result<Turn, AcquireError> {
        self.resize(count);
        let permit = Arc::clone(&self.places).acquire_owned().await?;
        Ok(Turn { turns: Arc::clone(self), permit: Some(permit) })
    }

    fn resize(&self, count: usize) {
        let mut size = self.size();
        size.wanted = count;
        if size.there < count {
            self.places.add_permits(count - size.there);
            size.there = count;
        } else if size.there > count {
            size.there -= self.places.forget_permits(size.there - count);
        }
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut size = self.turns.size();
        if size.there > size.wanted {
            size.there -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Turns {
        pub(crate) fn free(&self) -> usize {
            self.places.available_permits()
        }
    }

    #[tokio::test]
    async fn there_are_as_many_as_was_said_last() {
        let turns = Turns::new();
        let mut taken = Vec::new();
        for (count, free) in [(2, 1), (2, 0), (5, 2), (9, 5)] {
            taken.push(turns.take(count).await.expect("nobody closes them"));
            assert_eq!(turns.free(), free, "of {count}, with {} taken", taken.len());
        }
        // Four are taken of two.
        turns.resize(2);
        for free in [0, 0, 1, 2] {
            drop(taken.pop());
            assert_eq!(turns.free(), free, "with {} taken", taken.len());
        }
        turns.resize(1);
        assert_eq!(turns.free(), 1);
    }

    #[tokio::test]
    async fn who_waits_gets_a_place_that_is_new_and_none_that_is_gone() {
        let wait = |turns: &Arc<Turns>, count| {
            let turns = Arc::clone(turns);
            tokio::spawn(async move { turns.take(count).await })
        };
        let turns = Turns::new();
        let first = turns.take(1).await;
        let (waits, comes) = (wait(&turns, 1), wait(&turns, 2));
        let second = waits.await.expect("it ends");
        assert!(!comes.is_finished(), "there are two");
        // The third waits in the queue that a place goes to by itself; the first place is one too many.
        turns.resize(1);
        drop(first);
        tokio::task::yield_now().await;
        assert!(!comes.is_finished(), "there is one, and it is taken");
        drop(second);
        assert!(comes.await.expect("it ends").is_ok());
    }
}
