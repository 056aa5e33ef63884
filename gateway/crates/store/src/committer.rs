//! A thread that turns commits into durable commits, several at a time, and reads what waits.

mod counters;
mod queue;
mod worker;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use broker::durable::{Commit, Lsn, Page, Read};
pub use counters::CommitterStats;
use counters::Counters;
use queue::Queue;
use worker::Worker;

use crate::{CommitStats, Incident, Store, StoreError};

/// Writes submitted commits in order, says when they are written and when they are durable, and
/// reads between them.
///
/// Neither [`Committer::submit`] nor [`Committer::read`] waits. Whoever submits bounds the memory
/// that waits here, by the [`weight`](Commit::weight) of what has not been reported yet.
///
/// `T` is what a reader is told from others by.
pub struct Committer<T = broker::Reader> {
    shared: Arc<Shared<T>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

/// How commits are grouped and retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitterSettings {
    /// From the beginning of a group that is to be durable at once, which costs the disk a sync, to
    /// that of the next. A commit that comes later than that after the last group waits for
    /// nothing: whoever submits has at most one under way, so there is nothing to wait for.
    pub group_delay: Duration,
    /// Bytes of waiting ops at which a group is begun at once.
    pub group_bytes: usize,
    /// How long what is to be durable [soon](broker::durable::Urgency::Soon) may take.
    pub soon_delay: Duration,
    /// First pause after a failure; it doubles up to [`Self::retry_max`].
    pub retry_min: Duration,
    /// Longest pause after a failure.
    pub retry_max: Duration,
    /// How long [`Committer::shutdown`] goes on trying while the disk refuses.
    pub shutdown_patience: Duration,
}

impl Default for CommitterSettings {
    /// A group every 5 ms or 1 MiB; 1 s is soon; retries after 50 ms to 5 s; 5 s of patience at the
    /// end.
    fn default() -> Self {
        Self {
            group_delay: Duration::from_millis(5),
            group_bytes: 1 << 20,
            soon_delay: Duration::from_secs(1),
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(5),
            shutdown_patience: Duration::from_secs(5),
        }
    }
}

/// What the committer reports, from its own thread.
#[derive(Debug)]
pub enum Event<T = broker::Reader> {
    /// Everything up to here survives the end of the process.
    Committed {
        /// The last op that does.
        upto: Lsn,
        /// Whether it survives a power cut as well.
        synced: bool,
        /// What was written for it.
        stats: CommitStats,
    },
    /// A group was not written, or not synced. It is kept and tried again; nothing after it
    /// is tried before it. Reads go on.
    Failed {
        /// Why.
        error: StoreError,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// What a reader asked for.
    Read {
        /// Who.
        reader: T,
        /// What was found.
        page: Page,
    },
    /// A part of a queue could not be read. It is tried again until it can, like others that
    /// fail meanwhile.
    ReadFailed {
        /// Why.
        error: StoreError,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// The disk is full: what would need more of it is better refused.
    Full,
    /// The disk has space again.
    Space,
    /// Something happened to the store as a whole.
    Incident(Incident),
    /// What is done now and then could not be done. Nothing is lost, but the store occupies more
    /// than it need, and the next start takes longer.
    MaintenanceFailed {
        /// Why.
        error: StoreError,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// Where events go; called on the committing thread, which waits for it.
pub type EventSink<T = broker::Reader> = Box<dyn Fn(Event<T>) + Send>;

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
    counters: Counters,
}

impl<T: Send + 'static> Committer<T> {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn spawn(
        store: Box<dyn Store>,
        settings: CommitterSettings,
        on_event: EventSink<T>,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            counters: Counters::default(),
        });
        let worker = Worker::new(store, settings, on_event, Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("store-committer".to_owned())
            .spawn(move || worker.run())
            .map_err(StoreError::io("start a thread for", "store-committer"))?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl<T> Committer<T> {
    /// Hands over a commit. Its position must be above that of all before it, or the same if it
    /// has no ops.
    pub fn submit(&self, commit: Commit) {
        self.shared.queue().push(commit);
        self.shared.changed.notify_one();
    }

    /// Asks for a part of a queue.
    pub fn read(&self, reader: T, read: Read) {
        self.shared.queue().reads.push_back((reader, read));
        self.shared.changed.notify_one();
    }

    /// Asks the thread whether it is there, without waiting for it. Answers with a number for
    /// [`has_answered`](Self::has_answered).
    #[must_use]
    pub fn knock(&self) -> u64 {
        let knock = {
            let mut queue = self.shared.queue();
            queue.knocks += 1;
            queue.knocks
        };
        self.shared.changed.notify_one();
        knock
    }

    /// Whether the thread has looked for work since that knock. It does between two groups, reads, or attempts of what
    /// fails, and not while the disk keeps it waiting.
    #[must_use]
    pub fn has_answered(&self, knock: u64) -> bool {
        self.shared.queue().answered >= knock
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> CommitterStats {
        self.shared.counters.snapshot()
    }

    /// Makes everything submitted durable, reports it, and ends the thread.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when the disk went on refusing.
    pub fn shutdown(mut self) -> Result<(), StoreError> {
        self.close()
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.shared.queue().closing = true;
        self.shared.changed.notify_one();
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| {
            let abandoned = self.shared.queue().len();
            Err(StoreError::Stopped { abandoned, detail: "its thread panicked".to_owned() })
        })
    }
}

impl<T> Drop for Committer<T> {
    /// As [`Committer::shutdown`], with nobody to hear the answer.
    fn drop(&mut self) {
        if self.thread.is_some()
            && let Err(error) = self.close()
        {
            drop(error);
        }
    }
}

impl<T> Shared<T> {
    /// A panic elsewhere leaves the queue whole: nothing runs while it is locked.
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
