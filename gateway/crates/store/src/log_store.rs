//! The store on disk: a log for what is committed and for messages, an engine for the rest.
//!
//! A commit is one group appended to the log. The engine follows at checkpoints, and what came
//! and went between two of them never reaches it. At start the log is read on from where the
//! engine's last checkpoint was.

mod checkpoint;
mod compaction;
mod load;
mod look;
mod read;
#[cfg(test)]
mod tests;
mod tighten;
mod upgrade;

use std::{path::PathBuf, sync::Arc};

use broker::durable::{MessageKey, Op, Page, Read, Urgency};
use checkpoint::Checkpoints;
use compaction::Compaction;
pub(crate) use look::{Figures, Look};

use crate::{
    CommitStats, Incident, Loaded, Maintained, Settings, Store, StoreError, Usage,
    engine::{Engine, Marks},
    log::{self, Files, GroupBuilder, Log, Position, ReserveState},
    numbers::Numbers,
    plan::{Plan, Written},
    recent::Recent,
    state::State,
};

/// A store over any engine and any files.
pub(crate) struct LogStore<E> {
    engine: E,
    files: Arc<dyn Files>,
    dir: PathBuf,
    settings: Settings,
    log: Log,
    group: GroupBuilder,
    /// `None` until everything was read.
    core: Option<Core>,
    /// Bytes of keys and values that were given to the engine.
    engine_bytes: u64,
    /// What happened that nobody was told yet.
    incidents: Vec<Incident>,
}

/// What is in memory of a store that was read.
#[derive(Default)]
struct Core {
    state: State,
    numbers: Numbers,
    /// Where messages are that may come again.
    recent: Recent<MessageKey>,
    checkpoints: Checkpoints,
    compaction: Compaction,
    /// Bytes of keys and values in the engine.
    engine_live: u64,
}

/// Memory that is kept from one group to the next.
const GROUP_KEPT: usize = 1 << 20;
/// Memory that may wait for a checkpoint all in all, in times of [`Settings::dirty_bytes`].
const DIRTY_DUE: usize = 8;
/// The same, beyond which nothing is committed before a checkpoint has succeeded.
const DIRTY_MAX: usize = 16;

impl<E: Engine> LogStore<E> {
    pub(crate) fn open(
        engine: E,
        files: Arc<dyn Files>,
        dir: PathBuf,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let log = Log::open(Arc::clone(&files), &dir, log_settings(settings))?;
        Ok(Self {
            engine,
            files,
            dir,
            settings,
            log,
            group: GroupBuilder::new(),
            core: None,
            engine_bytes: 0,
            incidents: Vec::new(),
        })
    }

    /// What is in memory, read if need be.
    fn ready(&mut self) -> Result<(), StoreError> {
        if self.core.is_none() {
            // Whoever commits without having read has no use for what was there.
            self.load_all()?;
        }
        Ok(())
    }
}

fn log_settings(settings: Settings) -> log::Settings {
    let Settings { segment_bytes, reserve_bytes, .. } = settings;
    log::Settings { segment_bytes, reserve_bytes }
}

impl Core {
    /// What is durable, when the log was just synced.
    fn marks(&self, log: &Log) -> Marks {
        let group = log.next_group().saturating_sub(1);
        Marks { checkpoints: self.numbers.checkpoints, group }
    }

    fn apply(&mut self, written: Written, base: Position) {
        for change in written.changes {
            self.state.apply(change, base);
        }
        for (message, slot) in written.messages {
            self.recent.insert(message, base.at(slot));
        }
    }
}

impl<E: Engine> Store for LogStore<E> {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.load_all()
    }

    fn commit(&mut self, ops: &[Op], urgency: Urgency) -> Result<CommitStats, StoreError> {
        self.ready()?;
        let dirty = self.core.as_ref().map_or(0, |core| core.state.dirty_bytes());
        if dirty > self.settings.dirty_bytes.saturating_mul(DIRTY_MAX) {
            self.checkpoint()?;
        }
        let core = self.core.get_or_insert_default();
        let (bytes, syncs) = (self.log.bytes_written(), self.log.syncs());
        self.group.clear();
        let plan = Plan::of(ops);
        let written =
            plan.write(&mut core.state, &mut self.engine, &core.recent, &mut self.group)?;
        let mut stats = written.stats();
        if !self.group.is_empty() {
            let base = self.log.append(&self.group)?;
            core.apply(written, base);
        }
        core.state.pages.trim();
        if urgency == Urgency::Now {
            self.log.sync()?;
            self.engine.mark(core.marks(&self.log));
        }
        if self.group.len() > GROUP_KEPT {
            self.group = GroupBuilder::new();
        }
        stats.bytes = self.log.bytes_written() - bytes;
        stats.syncs = self.log.syncs() - syncs;
        Ok(stats)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.commit(&[], Urgency::Now).map(drop)
    }

    fn read(&mut self, read: &Read) -> Result<Page, StoreError> {
        self.ready()?;
        self.read_page(read)
    }

    fn maintain(&mut self) -> Result<Maintained, StoreError> {
        self.ready()?;
        let mut maintained = Maintained::default();
        let result = self.maintain_a_step(&mut maintained);
        self.incidents.extend(self.engine.incidents());
        if let Some(core) = &mut self.core {
            let pages = core.state.pages.take_unreadable();
            self.incidents.extend((pages > 0).then_some(Incident::PagesUnreadable { pages }));
        }
        result?;
        maintained.incidents = std::mem::take(&mut self.incidents);
        maintained.disk_full = self.log.reserve_state() == ReserveState::Given;
        Ok(maintained)
    }

    fn usage(&self) -> Usage {
        let engine = self.engine.usage();
        let log_bytes = self.log.file_bytes();
        let live = self.core.as_ref();
        Usage {
            file_bytes: engine.file_bytes + log_bytes,
            stray_files: engine.stray_files,
            log_bytes,
            engine_bytes: engine.file_bytes,
            live_bytes: live.map_or(0, |core| core.engine_live + core.state.ledger.live_bytes()),
            segments: self.log.segments().count() as u64,
            reserve_held: self.log.reserve_state() == ReserveState::Held,
            written_to_log: self.log.bytes_written(),
            written_to_engine: self.engine_bytes,
        }
    }

    fn close(&mut self) {
        if self.core.is_some() {
            // What fails here is in the log, where the next start finds it.
            drop(self.checkpoint().and_then(|()| self.log.sync()));
        }
    }
}
