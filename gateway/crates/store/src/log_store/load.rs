use std::{collections::BTreeSet, sync::Arc};

use broker::durable::SessionKey;

use super::{
    Core, LogStore,
    checkpoint::{Checkpoints, ENGINE_SLACK},
    log_settings,
    upgrade::Lenience,
};
use crate::{
    Damage, Incident, Loaded, StoreError,
    change::{self, CHANGES, Change, Changes},
    engine::{Engine, Marks},
    log::{Log, Position, Record},
    numbers::{self, Numbers},
    queue::PageId,
    record,
    recovery::{Recovered, Recovery},
    state::State,
};

/// How the log was read on.
struct ReadOn {
    /// Whether there was anything that the engine does not have.
    behind: bool,
    /// Whether nothing is missing of it.
    complete: bool,
}

impl<E: Engine> LogStore<E> {
    /// Reads everything anew.
    pub(super) fn load_all(&mut self) -> Result<Loaded, StoreError> {
        if self.core.take().is_some() {
            self.log.sync()?;
            let settings = log_settings(self.settings);
            self.log = Log::open(Arc::clone(&self.files), &self.dir, settings)?;
        }
        let mut recovered = self.read_engine()?;
        let ledger = std::mem::take(&mut recovered.ledger);
        let mut core = Core {
            state: State::new(ledger, recovered.numbers.next_session),
            numbers: recovered.numbers,
            engine_live: recovered.live_bytes,
            ..Core::default()
        };
        self.repair(&mut recovered, &mut core);
        let ReadOn { behind, complete } = self.replay(&mut core)?;
        let rolled_back = recovered.rolled_back.filter(|_| !complete);
        self.incidents.extend(rolled_back.map(|commits| Incident::RolledBack { commits }));
        let missing = recovered.missing;
        self.incidents.extend(missing.map(|records| Incident::RecordsMissing { records }));
        recovered.loaded.dropped.deliveries_without_message =
            self.drop_entries_without_segment(&mut core.state)?;
        recovered.overlay(&core.state);
        let orphans = recovered.drop_orphans();
        if let Err(error) = self.end_orphans(&mut core.state, &orphans)? {
            recovered.loaded.repairs_failed.get_or_insert(error);
        }
        self.engine.settle(core.engine_live, 4 * ENGINE_SLACK);
        core.checkpoints = Checkpoints {
            last: recovered.numbers.position,
            before: None,
            written: self.log.bytes_written(),
            behind,
        };
        let (snapshot, mut loaded) = recovered.snapshot(core.state.next_session);
        loaded.snapshot = snapshot;
        self.incidents.extend(self.engine.incidents());
        loaded.incidents = std::mem::take(&mut self.incidents);
        self.core = Some(core);
        Ok(loaded)
    }

    /// What the engine has, made sound if it is not.
    fn read_engine(&mut self) -> Result<Recovered, StoreError> {
        let mut read = self.upgrade_if_old(Lenience::None).and_then(|()| self.scan());
        // An engine that lost records may also have lost its way to where new ones go.
        let damage = match &read {
            Ok(recovered) => recovered.damage(),
            Err(StoreError::Damaged { .. }) => read.as_ref().err().map(ToString::to_string),
            Err(_) => None,
        };
        if let Some(reason) = damage {
            self.engine.salvage(&reason)?;
            read = self.upgrade_if_old(Lenience::Full).and_then(|()| self.scan());
        }
        read
    }

    fn upgrade_if_old(&mut self, lenience: Lenience) -> Result<(), StoreError> {
        let old = self.format()? == Some(u64::from(record::OLD_FORMAT));
        if old { self.upgrade(lenience) } else { Ok(()) }
    }

    fn scan(&mut self) -> Result<Recovered, StoreError> {
        let mut recovery = Recovery::new();
        self.engine.scan(&mut |key, value| recovery.feed(key, value))?;
        recovery.finish(self.engine.marked().checkpoints)
    }

    /// The format that the engine's content has, as far as can be told.
    fn format(&mut self) -> Result<Option<u64>, StoreError> {
        let mut said = |key| {
            let Some(value) = self.engine.get(&key)? else { return Ok(None) };
            let pieces = [(key, value)];
            for format in [record::FORMAT, record::OLD_FORMAT] {
                match record::join(format, crate::Kind::Meta, key, &pieces) {
                    Ok((body, _)) => {
                        let number = record::decode_number(&body).ok();
                        return Ok(number.map(|number| (format, number)));
                    }
                    Err(Damage::Version(_)) => {}
                    Err(_) => return Ok(None),
                }
            }
            Ok::<_, StoreError>(None)
        };
        // Where there is damage, it is dealt with when everything is read.
        let mut or_none = |key| match said(key) {
            Err(StoreError::Damaged { .. }) => Ok(None),
            other => other,
        };
        if let Some((_, format)) = or_none(numbers::format_key())? {
            return Ok(Some(format));
        }
        for key in numbers::old_keys() {
            if let Some((format, _)) = or_none(key)? {
                return Ok(Some(u64::from(format)));
            }
        }
        Ok(None)
    }

    /// Writes down what had to be mended; if that fails, it is found again at the next start.
    fn repair(&mut self, recovered: &mut Recovered, core: &mut Core) {
        if !recovered.outdated_numbers && recovered.repairs.is_empty() {
            return;
        }
        let mut repairs = std::mem::take(&mut recovered.repairs);
        core.numbers.put(&mut repairs);
        match self.engine.apply(&repairs) {
            Ok(()) => {
                let checkpoints = core.numbers.checkpoints;
                self.engine.mark(Marks { checkpoints, ..self.engine.marked() });
            }
            Err(error) => recovered.loaded.repairs_failed = Some(error),
        }
    }

    /// Applies what was committed after the engine's last checkpoint.
    fn replay(&mut self, core: &mut Core) -> Result<ReadOn, StoreError> {
        let Numbers { position, group, .. } = core.numbers;
        let from = if position.is_some() { position } else { self.tail()? };
        let (engine, state) = (&mut self.engine, &mut core.state);
        let (mut failed, mut first) = (Ok(()), None);
        let replayed = self.log.replay(from, &mut |record| {
            first.get_or_insert(record.group);
            if failed.is_ok() {
                failed = apply(engine, state, record);
            }
        })?;
        failed?;
        state.ledger.segments().last().into_iter().for_each(|last| self.log.skip(last));
        let holes = replayed.holes.iter();
        self.incidents.extend(holes.map(|hole| Incident::LogDamaged {
            segment: hole.segment,
            groups: hole.groups,
            bytes: hole.bytes,
        }));
        // What is missing at the beginning and at the end only the numbers tell.
        let next = self.log.next_group();
        let after = first.unwrap_or(next).saturating_sub(group.max(1));
        let before = (self.engine.marked().group + 1).saturating_sub(next);
        let known = replayed.holes.iter().map(|hole| hole.groups).sum();
        let missing = (after + before).max(known);
        // Without a position nobody knows how much there should be.
        if let Some(groups) = Some(missing - known).filter(|it| *it > 0 && position.is_some()) {
            let segment = self.log.end().segment;
            self.incidents.push(Incident::LogDamaged { segment, groups, bytes: 0 });
        }
        // What is lost is lost: it is told once. What was read is durable.
        self.engine.mark(core.marks(&self.log));
        Ok(ReadOn { behind: replayed.groups > 0, complete: missing == 0 })
    }

    /// Removes what belongs to sessions that are not there, so that it does not come to belong to
    /// others; whether that lasts.
    fn end_orphans(
        &mut self,
        state: &mut State,
        orphans: &BTreeSet<SessionKey>,
    ) -> Result<Result<(), StoreError>, StoreError> {
        if orphans.is_empty() {
            return Ok(Ok(()));
        }
        let changes: Vec<Change> =
            orphans.iter().map(|session| Change::EndSession { session: *session }).collect();
        self.group.clear();
        self.group.push(CHANGES, |out| change::encode(&changes, out));
        let written = self.log.append(&self.group);
        for change in changes {
            state.prepare(&mut self.engine, &change)?;
            state.apply(change, self.log.end());
        }
        Ok(written.map(drop))
    }

    /// Where the groups begin of which none is missing up to the end. What lies before was kept
    /// for a few messages only, and tells nothing of what became of the rest.
    fn tail(&mut self) -> Result<Option<Position>, StoreError> {
        let mut next = None;
        let mut begin = None;
        self.log.replay(None, &mut |record| {
            if next.is_none_or(|next| record.group > next) {
                begin = Some(Position { segment: record.position.segment, offset: 0 });
            }
            next = Some(record.group + 1);
        })?;
        Ok(begin)
    }

    /// Drops queue entries whose messages are gone with their segments; returns how many.
    fn drop_entries_without_segment(&mut self, state: &mut State) -> Result<u64, StoreError> {
        let there: BTreeSet<u32> = self.log.segments().map(|(segment, _)| segment).collect();
        let gone: BTreeSet<u32> =
            state.ledger.segments().filter(|segment| !there.contains(segment)).collect();
        if gone.is_empty() {
            return Ok(0);
        }
        const BATCH: usize = 256;
        let mut dropped = 0;
        let (mut from, end) = ((SessionKey(0), 0), (SessionKey(u32::MAX), u64::MAX));
        loop {
            let ids: Vec<PageId> =
                state.pages.ids(&mut self.engine, &state.changed, from..=end, BATCH)?;
            for id in &ids {
                state.pages.touch(&mut self.engine, &state.changed, *id)?;
                let removed = state.pages.prune(*id, |entry| {
                    entry.message.is_none_or(|message| !gone.contains(&message.segment))
                });
                removed.iter().for_each(|entry| state.ledger.remove(entry));
                dropped += removed.len() as u64;
            }
            state.pages.trim();
            match ids.last() {
                Some((session, number)) if ids.len() == BATCH => {
                    from = (*session, number.saturating_add(1));
                }
                _ => return Ok(dropped),
            }
        }
    }
}

/// Applies one record of the log.
fn apply(engine: &mut dyn Engine, state: &mut State, record: Record<'_>) -> Result<(), StoreError> {
    if record.kind != CHANGES {
        return Ok(());
    }
    // The checksum was right: what cannot be read was not written by this release.
    for change in Changes::new(record.bytes, record.base).map_while(Result::ok) {
        state.prepare(engine, &change)?;
        state.apply(change, record.base);
    }
    state.pages.trim();
    Ok(())
}
