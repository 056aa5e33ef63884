//! A thread that turns commits into durable commits, several at a time.

mod counters;

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use broker::durable::{Commit, Lsn, Op};
pub use counters::CommitterStats;
use counters::Counters;

use crate::{CommitStats, Store, StoreError};

/// Makes submitted commits durable in order and says when they are.
///
/// [`Committer::submit`] never waits. Whoever submits bounds the memory that waits
/// here, by the [`weight`](Commit::weight) of what has not been reported yet.
pub struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

/// How commits are grouped and retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitterSettings {
    /// How long the first commit of a group waits for others. Each group costs the
    /// disk at least one sync.
    pub group_delay: Duration,
    /// Bytes of waiting ops at which a group is closed at once.
    pub group_bytes: usize,
    /// First pause after a failure; it doubles up to [`Self::retry_max`].
    pub retry_min: Duration,
    /// Longest pause after a failure.
    pub retry_max: Duration,
    /// How long [`Committer::shutdown`] goes on trying while the disk refuses.
    pub shutdown_patience: Duration,
}

impl Default for CommitterSettings {
    /// 5 ms or 1 MiB a group; retries after 50 ms to 5 s; 5 s of patience at the end.
    fn default() -> Self {
        Self {
            group_delay: Duration::from_millis(5),
            group_bytes: 1 << 20,
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(5),
            shutdown_patience: Duration::from_secs(5),
        }
    }
}

/// What the committer reports, from its own thread.
#[derive(Debug)]
pub enum Event {
    /// Everything up to here survives a power cut.
    Committed {
        /// The last op that does.
        upto: Lsn,
        /// What was written for it.
        stats: CommitStats,
    },
    /// A group did not become durable. It is kept and tried again; nothing after it
    /// is tried before it.
    Failed {
        /// Why.
        error: StoreError,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// Where events go; called on the committing thread, which waits for it.
pub type EventSink = Box<dyn Fn(Event) + Send>;

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    counters: Counters,
}

#[derive(Default)]
struct Queue {
    commits: VecDeque<Commit>,
    weight: usize,
    /// When the oldest of `commits` arrived.
    since: Option<Instant>,
    closing: bool,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn spawn(
        store: Box<dyn Store>,
        settings: CommitterSettings,
        on_event: EventSink,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            counters: Counters::default(),
        });
        let worker = Worker { store, settings, on_event, shared: Arc::clone(&shared) };
        let thread = thread::Builder::new()
            .name("store-committer".to_owned())
            .spawn(move || worker.run())
            .map_err(StoreError::io("start a thread for", "store-committer"))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands over a commit. Its position must be above that of all before it.
    pub fn submit(&self, commit: Commit) {
        let mut queue = self.shared.queue();
        queue.weight = queue.weight.saturating_add(commit.weight);
        queue.since.get_or_insert_with(Instant::now);
        queue.commits.push_back(commit);
        drop(queue);
        self.shared.changed.notify_one();
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
            let abandoned = self.shared.queue().commits.len();
            Err(StoreError::Stopped { abandoned, detail: "its thread panicked".to_owned() })
        })
    }
}

impl Drop for Committer {
    /// As [`Committer::shutdown`], with nobody to hear the answer.
    fn drop(&mut self) {
        if self.thread.is_some()
            && let Err(error) = self.close()
        {
            drop(error);
        }
    }
}

impl Shared {
    /// A panic elsewhere leaves the queue whole: nothing runs while it is locked.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's side.
struct Worker {
    store: Box<dyn Store>,
    settings: CommitterSettings,
    on_event: EventSink,
    shared: Arc<Shared>,
}

/// Commits that become durable together.
struct Group {
    ops: Vec<Op>,
    upto: Lsn,
    commits: usize,
}

impl Worker {
    fn run(mut self) -> Result<(), StoreError> {
        while let Some(group) = self.next_group() {
            let stats = self.commit(&group)?;
            (self.on_event)(Event::Committed { upto: group.upto, stats });
        }
        Ok(())
    }

    /// Waits until a group is due; `None` when there is none left to come.
    fn next_group(&self) -> Option<Group> {
        let mut queue = self.shared.queue();
        loop {
            let Some(since) = queue.since else {
                if queue.closing {
                    return None;
                }
                queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = self.settings.group_delay.saturating_sub(since.elapsed());
            if left.is_zero() || queue.closing || queue.weight >= self.settings.group_bytes {
                return Some(queue.take_group());
            }
            let waited = self.shared.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Tries until it is done, or until patience ends after the committer was closed.
    fn commit(&mut self, group: &Group) -> Result<CommitStats, StoreError> {
        let mut pause = self.settings.retry_min;
        let mut closing_since = None;
        loop {
            let began = Instant::now();
            let error = match self.store.commit(&group.ops) {
                Ok(stats) => {
                    self.shared.counters.committed(stats, began.elapsed());
                    return Ok(stats);
                }
                Err(error) => error,
            };
            self.shared.counters.failed();
            if self.shared.queue().closing {
                let since = *closing_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.settings.shutdown_patience {
                    let abandoned = group.commits + self.shared.queue().commits.len();
                    return Err(StoreError::Stopped { abandoned, detail: error.to_string() });
                }
                pause = self.settings.retry_min;
            }
            (self.on_event)(Event::Failed { error, retry_in: pause });
            self.pause(pause);
            pause = pause.saturating_mul(2).min(self.settings.retry_max);
        }
    }

    /// Waits for `time`, less when the committer is closed meanwhile.
    fn pause(&self, time: Duration) {
        let queue = self.shared.queue();
        if queue.closing {
            drop(queue);
            thread::sleep(time);
        } else {
            let waited =
                self.shared.changed.wait_timeout_while(queue, time, |queue| !queue.closing);
            drop(waited);
        }
    }
}

impl Queue {
    fn take_group(&mut self) -> Group {
        let mut group = Group { ops: Vec::new(), upto: Lsn::default(), commits: 0 };
        for commit in self.commits.drain(..) {
            group.ops.extend(commit.ops);
            group.upto = commit.upto;
            group.commits += 1;
        }
        self.weight = 0;
        self.since = None;
        group
    }
}
