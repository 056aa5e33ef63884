//! What extensions keep: a space of keys and values for each, in memory as a whole and on disk.
//!
//! Reading takes no disk. A change is answered when it is on disk: a thread takes all changes that wait, judges them one
//! after the other against what is kept, has the engine make what comes of them durable in one batch, and only then
//! shows it to readers and answers. So what was answered survives a power cut, and what was read was on disk.

mod body;
mod change;
mod spaces;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

pub use change::{Change, Changed, KeyValueError, KeyValueQuota};

use crate::{Incident, StoreError, engine::Engine, sled_engine::SledEngine};
use spaces::Spaces;
use worker::{Request, Worker};

/// Changes that may wait for the disk; whoever comes with more is told to come again.
const WAITING_MAX: usize = 128;
/// Page cache of the database in bytes: everything is in memory anyway.
const CACHE_BYTES: u64 = 1 << 20;

/// All spaces. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct KeyValues(Arc<Inner>);

struct Inner {
    spaces: Arc<RwLock<Spaces>>,
    inbox: SyncSender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Change(Request),
    Stop,
}

/// What an operator should know of the disk below the spaces.
#[derive(Debug)]
pub enum KeyValueEvent {
    /// Nothing can be changed; it is tried again with the next change.
    Failed(StoreError),
    /// Changes are on disk again.
    Recovered,
    /// Something happened to the database as a whole.
    Incident(Incident),
}

/// Where events go.
pub type KeyValueSink = Box<dyn FnMut(KeyValueEvent) + Send>;

/// What was found when the spaces were opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeyValuesFound {
    /// Keys of all spaces.
    pub keys: u64,
    /// Bytes of all keys and values.
    pub bytes: u64,
    /// Records that could not be read and were set aside inside the database.
    pub damaged: u64,
    /// What happened to the database as a whole.
    pub incidents: Vec<Incident>,
}

impl KeyValues {
    /// Opens what is kept in `dir`, creating it if need be.
    ///
    /// # Errors
    /// When another process has it open, a later release wrote it, or the operating system denies access or has no space
    /// or thread for it. Damage is no error.
    pub fn open(
        dir: impl Into<PathBuf>,
        sink: KeyValueSink,
    ) -> Result<(Self, KeyValuesFound), StoreError> {
        let engine = SledEngine::open(dir.into(), CACHE_BYTES)?;
        Self::on(Some(Box::new(engine)), sink)
    }

    /// Spaces in memory, which end with the process.
    ///
    /// # Errors
    /// When the operating system has no thread.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::on(None, Box::new(|_| {})).map(|(values, _)| values)
    }

    fn on(
        mut engine: Option<Box<dyn Engine>>,
        sink: KeyValueSink,
    ) -> Result<(Self, KeyValuesFound), StoreError> {
        let mut found = KeyValuesFound::default();
        let mut first = Spaces::default();
        if let Some(engine) = &mut engine {
            let loaded = spaces::load(engine.as_mut())?;
            (first, found.damaged) = (loaded.spaces, loaded.damaged);
            found.incidents = engine.incidents();
        }
        (found.keys, found.bytes) = first.total();
        let spaces = Arc::new(RwLock::new(first));
        let (inbox, messages) = sync_channel(WAITING_MAX);
        let worker = Worker::new(engine, Arc::clone(&spaces), sink);
        let thread = thread::Builder::new()
            .name("key-values".into())
            .spawn(move || serve(worker, &messages))
            .map_err(StoreError::io("start a thread for", "key values"))?;
        let thread = Mutex::new(Some(thread));
        Ok((Self(Arc::new(Inner { spaces, inbox, thread })), found))
    }

    /// The value under a key of a space.
    #[must_use]
    pub fn get(&self, space: &str, key: &str) -> Option<Arc<[u8]>> {
        self.read(|spaces| spaces.get(space, key).map(Arc::clone))
    }

    /// At most `limit` keys of a space that begin with `prefix` and come after `after`, in order; and whether there are
    /// more.
    #[must_use]
    pub fn keys(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<String>, bool) {
        self.read(|spaces| spaces.keys(space, prefix, after, limit))
    }

    /// Keys of a space, and bytes of them and their values.
    #[must_use]
    pub fn usage(&self, space: &str) -> (usize, usize) {
        self.read(|spaces| spaces.usage(space))
    }

    /// Changes a space, whose name has no U+0000, and waits until that is on disk, no longer than `wait`.
    ///
    /// # Errors
    /// Why it is not so. After [`KeyValueError::TimedOut`] and [`KeyValueError::Disk`] it is not known whether it
    /// will be so.
    pub fn change(
        &self,
        space: &str,
        quota: KeyValueQuota,
        change: Change,
        wait: Duration,
    ) -> Result<Changed, KeyValueError> {
        let (answer, answers) = sync_channel(1);
        let request = Request { space: space.to_owned(), quota, change, answer };
        self.0.inbox.try_send(Message::Change(request)).map_err(|error| match error {
            TrySendError::Full(_) => KeyValueError::Busy,
            TrySendError::Disconnected(_) => KeyValueError::Closed,
        })?;
        answers.recv_timeout(wait).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => KeyValueError::TimedOut(wait),
                RecvTimeoutError::Disconnected => KeyValueError::Closed,
            })
        })
    }

    /// Makes the changes that wait, and none after them. Blocks until the database is closed.
    pub fn close(&self) {
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Fails only if the thread is gone; so does a join of one that panicked, and there is nobody to tell.
            let _ = self.0.inbox.send(Message::Stop);
            let _ = thread.join();
        }
    }

    fn read<R>(&self, look: impl FnOnce(&Spaces) -> R) -> R {
        look(&self.0.spaces.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for KeyValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (keys, bytes) = self.read(Spaces::total);
        f.debug_struct("KeyValues").field("keys", &keys).field("bytes", &bytes).finish()
    }
}

/// The thread: takes what waits, all of it at a time.
fn serve(mut worker: Worker, messages: &Receiver<Message>) {
    while let Ok(first) = messages.recv() {
        let (mut batch, mut stops) = (Vec::new(), false);
        for message in std::iter::once(first).chain(messages.try_iter().take(WAITING_MAX)) {
            match message {
                Message::Change(request) => batch.push(request),
                Message::Stop => {
                    stops = true;
                    break;
                }
            }
        }
        worker.serve(batch);
        if stops {
            return;
        }
    }
}
