//! Looking into a store without touching it, whether its gateway runs or not.
//!
//! What is looked at is a private copy: the small files of the database are copied at a moment at
//! which nobody writes them, and the files of the log, which are only ever appended to, are read
//! where they are. The copy is then read as a start of the gateway would read it, with all
//! repairs; so what is found is what a start would find, and the original stays as it is. No
//! lock is taken: a gateway can start meanwhile.
//!
//! In memory is what the gateway itself has there after its start. Queues are read in parts.

mod findings;
mod pinned;
mod scratch;
mod source;

use std::{path::Path, sync::Arc, time::SystemTime};

use broker::Message;
use broker::durable::{Page, Read, SessionKey, Snapshot, StoredDelivery, StoredSession, Wanted};
pub use findings::Finding;
use pinned::PinnedFiles;
use scratch::Scratch;
use source::Source;
pub(crate) use source::is_there;

use crate::{
    Incident, Loaded, Settings, StoreError,
    log_store::{Figures, LogStore, Look},
    record,
    sled_engine::SledEngine,
};

/// A store that is looked into.
pub struct Survey {
    store: Box<dyn Look>,
    loaded: Loaded,
    figures: Figures,
    source: Source,
    /// Goes last: the database is in it.
    _scratch: Option<Scratch>,
}

/// Entries of a queue that are read at a time.
const ENTRIES: usize = 1024;
/// Bytes of messages that are read at a time; one message comes however long it is.
const BYTES: usize = 1 << 20;

/// What a store holds and occupies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Format of the records.
    pub format: u8,
    /// Checkpoints made in the store's life.
    pub checkpoints: u64,
    /// File and offset of the log from where it is read at a start.
    pub checkpoint_at: Option<(u32, u32)>,
    /// Groups of the log that the database does not have yet.
    pub groups_since: u64,
    /// Bytes of the database.
    pub engine_bytes: u64,
    /// Bytes of the reserve for a full disk.
    pub reserve_bytes: u64,
    /// Bytes of damaged databases that are kept for people.
    pub aside_bytes: u64,
    /// The files of the log, oldest first.
    pub segments: Vec<Segment>,
    /// Sessions.
    pub sessions: u64,
    /// Subscriptions of all sessions.
    pub subscriptions: u64,
    /// Retained messages.
    pub retained: u64,
    /// Bytes of their payloads.
    pub retained_bytes: u64,
    /// Entries of all queues.
    pub queued: u64,
    /// Bytes of their messages as limits count them, each as often as it is queued.
    pub queued_bytes: u64,
    /// Pieces of damaged records that are kept in the database.
    pub quarantined: u64,
}

/// One file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number, which is its name.
    pub number: u32,
    /// Bytes that it occupies.
    pub bytes: u64,
    /// Of these, bytes of messages that queues need, near enough.
    pub live_bytes: u64,
    /// Entries of queues whose messages are in it.
    pub entries: u64,
}

impl Survey {
    /// Looks into the store in `dir`. The private copy of its database goes to a new directory
    /// in `scratch`, which is removed with this value.
    ///
    /// # Errors
    /// When there is no store, the operating system refuses, the store is of a newer format, or
    /// the database is written so much that no moment is found to copy it. Damage is no error.
    pub fn of(dir: &Path, scratch: &Path) -> Result<Self, StoreError> {
        let scratch = Scratch::create(scratch)?;
        let source = Source::copy(dir, scratch.path())?;
        let files = PinnedFiles::new(&source, &scratch.path().join("log"));
        // It is not to be tidied, nor to hold ballast.
        let settings = Settings { reserve_bytes: 0, ..Settings::default() };
        let own = scratch.path().to_owned();
        let engine = SledEngine::open(own.clone(), settings.cache_bytes)?;
        let store = LogStore::open(engine, Arc::new(files), own, settings)?;
        let mut survey = Self::over(Box::new(store))?;
        (survey.source, survey._scratch) = (source, Some(scratch));
        Ok(survey)
    }

    /// Looks into a store that was opened, and that nobody minds to be repaired.
    pub(crate) fn over(mut store: Box<dyn Look>) -> Result<Self, StoreError> {
        let unsound = store.unsound_segments();
        let loaded = store.load()?;
        let figures = Figures { unsound, ..store.figures() };
        Ok(Self { store, loaded, figures, source: Source::default(), _scratch: None })
    }

    /// The sessions, by number.
    #[must_use]
    pub fn sessions(&self) -> &[StoredSession] {
        &self.loaded.snapshot.sessions
    }

    /// The retained messages, by topic.
    #[must_use]
    pub fn retained(&self) -> &[Arc<Message>] {
        &self.loaded.snapshot.retained
    }

    /// What the store holds and occupies.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let Snapshot { sessions, retained, .. } = &self.loaded.snapshot;
        let sum = |of: fn(&StoredSession) -> usize| sessions.iter().map(|it| of(it) as u64).sum();
        let upgraded = self.loaded.incidents.iter().find_map(|incident| match incident {
            Incident::Upgraded { from, .. } => Some(*from),
            _ => None,
        });
        let Figures { numbers, next_group, .. } = &self.figures;
        let at = numbers.position;
        Overview {
            format: upgraded.unwrap_or(record::FORMAT),
            checkpoints: numbers.checkpoints,
            checkpoint_at: at.map(|position| (position.segment, position.offset)),
            groups_since: next_group.saturating_sub(numbers.group.max(1)),
            engine_bytes: self.source.engine_bytes,
            reserve_bytes: self.source.reserve_bytes,
            aside_bytes: self.source.aside_bytes,
            segments: self.segments(upgraded.is_some()),
            sessions: sessions.len() as u64,
            subscriptions: sum(|session| session.subscriptions.len()),
            retained: retained.len() as u64,
            retained_bytes: retained.iter().map(|message| message.payload.len() as u64).sum(),
            queued: sum(|session| session.queue.count),
            queued_bytes: sum(|session| session.queue.weight),
            quarantined: self.loaded.quarantine_held,
        }
    }

    /// As the original has them; one that was upgraded had none.
    fn segments(&self, upgraded: bool) -> Vec<Segment> {
        if upgraded {
            return Vec::new();
        }
        let segment = |(number, bytes, live): &(u32, u64, crate::ledger::Holdings)| {
            let bytes = self.source.segment_bytes(*number).unwrap_or(*bytes);
            // Messages count for what they weigh in memory, which is a little more.
            Segment {
                number: *number,
                bytes,
                live_bytes: live.bytes.min(bytes),
                entries: live.entries,
            }
        };
        self.figures.segments.iter().map(segment).collect()
    }

    /// A moment at which the first message of a queue had been there already, as far as the
    /// times of the log's files tell.
    ///
    /// # Errors
    /// When the operating system refuses to have a file read.
    pub fn oldest_before(
        &mut self,
        session: &StoredSession,
    ) -> Result<Option<SystemTime>, StoreError> {
        if session.queue.count == 0 {
            return Ok(None);
        }
        let position = self.store.position(session.key, session.queue.first)?;
        Ok(position.and_then(|position| self.source.modified(position.segment)))
    }

    /// Shows the entries of a session's queue with their messages, in order; ends at the first
    /// error of `visit`.
    ///
    /// # Errors
    /// That of `visit`, or when the operating system refuses to have a file read. Damage is no
    /// error: the entry comes without its message.
    pub fn queue<E: From<StoreError>>(
        &mut self,
        session: SessionKey,
        mut visit: impl FnMut(StoredDelivery) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = Some(0);
        while let Some(first) = from {
            let Page { entries, next, .. } = self.store.read(&part(session, first))?;
            entries.into_iter().try_for_each(&mut visit)?;
            from = next;
        }
        Ok(())
    }

    /// Reads every message of every queue and shows what is wrong with the store; returns how
    /// many messages were read.
    ///
    /// # Errors
    /// When the operating system refuses to have a file read.
    pub fn verify(&mut self, found: &mut dyn FnMut(Finding)) -> Result<u64, StoreError> {
        findings::of_loaded(&self.loaded, found);
        findings::of_segments(&self.figures.unsound, found);
        let sessions = std::mem::take(&mut self.loaded.snapshot.sessions);
        let read = findings::of_queues(&mut *self.store, &sessions, found);
        self.loaded.snapshot.sessions = sessions;
        findings::of_pages(self.store.unreadable_pages(), found);
        read
    }
}

fn part(session: SessionKey, from: u64) -> Read {
    Read { session, from, max_entries: ENTRIES, max_bytes: BYTES, wanted: Wanted::All }
}
