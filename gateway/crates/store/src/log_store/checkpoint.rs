use std::collections::BTreeSet;

use super::{Core, DIRTY_DUE, LogStore};
use crate::{
    Maintained, StoreError,
    changed::OWNED,
    engine::{self, Engine, Writes},
    key::{Key, Kind},
    log::{Position, ReserveState},
    numbers::{self, Numbers},
    record,
    state::State,
};

/// Bytes of entries up to which the engine is copied while the gateway works, to shed what it
/// occupies besides: more would keep commits waiting.
const COPY_MAX: u64 = 16 << 20;
/// What the engine may occupy besides, before it is copied.
pub(super) const ENGINE_SLACK: u64 = 16 << 20;

/// Where the log was at the last checkpoints.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checkpoints {
    /// At the last one.
    pub(super) last: Option<Position>,
    /// At the one before: the engine may come up as it was then.
    pub(super) before: Option<Position>,
    /// Bytes that had been written to the log at the last one.
    pub(super) written: u64,
    /// Whether the log had to be read on from the last one: so it would be once more.
    pub(super) behind: bool,
}

impl<E: Engine> LogStore<E> {
    pub(super) fn maintain_a_step(&mut self, done: &mut Maintained) -> Result<(), StoreError> {
        if self.log.reserve_state() == ReserveState::Given {
            self.log.restore_reserve()?;
        }
        if self.is_checkpoint_due() {
            self.checkpoint()?;
            done.checkpoints = 1;
            done.segments_removed = self.remove_segments()?;
            let live = self.core.as_ref().map_or(0, |core| core.engine_live);
            if live <= COPY_MAX {
                self.engine.settle(live, ENGINE_SLACK);
            }
        }
        self.compact(done)?;
        done.more |= self.is_checkpoint_due();
        Ok(())
    }

    fn is_checkpoint_due(&self) -> bool {
        let Some(core) = &self.core else { return false };
        let grown = self.log.bytes_written().saturating_sub(core.checkpoints.written);
        core.checkpoints.behind
            || grown > self.settings.checkpoint_bytes
            || core.state.change_bytes() > self.settings.dirty_bytes
            || core.state.dirty_bytes() > self.settings.dirty_bytes.saturating_mul(DIRTY_DUE)
            || self.is_any_segment_waiting(core)
    }

    /// Whether another checkpoint or two would free a segment.
    fn is_any_segment_waiting(&self, core: &Core) -> bool {
        let newest = self.newest_segment();
        self.log.segments().any(|(segment, _)| {
            segment < newest && core.state.ledger.holdings(segment).entries == 0
        })
    }

    /// The segment that tells which groups there were: it stays, whether needed or not.
    fn newest_segment(&self) -> u32 {
        self.log.segments().last().map_or(0, |(segment, _)| segment)
    }

    /// Gives the engine all that is committed.
    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        // What the engine has must not be lost to the log: it counts from there on.
        self.log.sync()?;
        let core = self.core.get_or_insert_default();
        let position = self.log.end();
        let mut batch = Batch {
            engine: &mut self.engine,
            writes: Writes::new(),
            numbers: Numbers {
                checkpoints: core.numbers.checkpoints + 1,
                next_session: core.state.next_session,
                position: Some(position),
                group: self.log.next_group(),
                ..core.numbers
            },
            live: core.engine_live,
        };
        batch.fill(&core.state)?;
        let Batch { writes, numbers, live, .. } = batch;
        let bytes: usize = writes.iter().map(|(key, value)| weight(key, value.as_ref())).sum();
        self.engine_bytes += bytes as u64;
        let mut applied = self.engine.apply(&writes);
        if applied.as_ref().is_err_and(StoreError::is_no_space) && self.log.give_up_reserve() {
            applied = self.engine.apply(&writes);
        }
        applied?;
        core.numbers = numbers;
        self.engine.mark(core.marks(&self.log));
        core.engine_live = live;
        core.state.settle();
        core.checkpoints = Checkpoints {
            before: core.checkpoints.last,
            last: Some(position),
            written: self.log.bytes_written(),
            behind: false,
        };
        Ok(())
    }

    /// Removes the segments that nothing needs. Right after a checkpoint: an entry that was
    /// removed since is still there for who finds the engine as it is, and the log cut short.
    fn remove_segments(&mut self) -> Result<u64, StoreError> {
        let newest = self.newest_segment();
        let core = self.core.get_or_insert_default();
        let kept = kept_from(&core.checkpoints).min(newest);
        let ledger = &core.state.ledger;
        let useless = self.log.segments().map(|(segment, _)| segment).take_while(|it| *it < kept);
        let useless: BTreeSet<u32> =
            useless.filter(|segment| ledger.holdings(*segment).entries == 0).collect();
        core.recent.forget(|segment| useless.contains(&segment));
        let mut removed = 0;
        for segment in useless {
            removed += u64::from(self.log.remove(segment)?);
            core.compaction.forget(segment);
        }
        Ok(removed)
    }
}

/// The first segment that may be needed to read the log on from a checkpoint.
fn kept_from(checkpoints: &Checkpoints) -> u32 {
    checkpoints.before.map_or(0, |before| before.segment)
}

fn weight(key: &Key, value: Option<&Vec<u8>>) -> usize {
    key.as_bytes().len() + value.map_or(0, Vec::len)
}

/// The writes of one checkpoint.
struct Batch<'a> {
    engine: &'a mut dyn Engine,
    writes: Writes,
    numbers: Numbers,
    /// Bytes of keys and values in the engine.
    live: u64,
}

impl Batch<'_> {
    fn fill(&mut self, state: &State) -> Result<(), StoreError> {
        for session in state.changed.ended() {
            for kind in OWNED.into_iter().chain([Kind::Queue]) {
                let keys = engine::keys(self.engine, &Key::owned_by(kind, session))?;
                self.writes.extend(keys.into_iter().map(|key| (key, None)));
            }
        }
        for (key, body) in state.changed.records() {
            match (key.kind(), body) {
                (Some(kind), Some(body)) => self.put(kind, key, body)?,
                _ => self.remove(key, 0)?,
            }
        }
        for ((session, number), page) in state.pages.dirty() {
            let key = Key::page(session, number);
            if page.is_empty() {
                self.remove(key, 0)?;
            } else {
                self.put(Kind::Queue, key, &page.encode())?;
            }
        }
        self.count()?;
        self.numbers.put(&mut self.writes);
        Ok(())
    }

    fn put(&mut self, kind: Kind, base: Key, body: &[u8]) -> Result<(), StoreError> {
        let writes = &mut self.writes;
        let count = record::split(kind, base, body, |key, value| {
            writes.insert(key, Some(value));
        });
        if record::may_be_long(kind) { self.remove(base, count) } else { Ok(()) }
    }

    /// Removes the pieces of a record from the `index`-th on.
    fn remove(&mut self, base: Key, index: u32) -> Result<(), StoreError> {
        for index in index.. {
            let key = base.fragment(index);
            if self.engine.get(&key)?.is_none() {
                break;
            }
            self.writes.insert(key, None);
        }
        Ok(())
    }

    /// Counts what will be there, so that an engine which loses some is found out.
    fn count(&mut self) -> Result<(), StoreError> {
        // The engine's own count: a batch whose answer was lost may be there or not.
        if let Some(entries) = numbers::entries(self.engine)? {
            self.numbers.entries = entries;
        }
        for (key, value) in &self.writes {
            let before = self.engine.get(key)?;
            let (entries, live) = (&mut self.numbers.entries, &mut self.live);
            if before.is_some() {
                *entries = entries.saturating_sub(1);
                *live = live.saturating_sub(weight(key, before.as_ref()) as u64);
            }
            if value.is_some() {
                *entries += 1;
                *live += weight(key, value.as_ref()) as u64;
            }
        }
        Ok(())
    }
}
