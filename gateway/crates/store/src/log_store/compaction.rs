use std::collections::{BTreeMap, BTreeSet};

use broker::durable::SessionKey;

use super::{Core, LogStore};
use crate::{
    Maintained, StoreError,
    change::{self, CHANGES, Change, MESSAGE, Reference},
    engine::Engine,
    log::{GroupBuilder, Log, Position, ReadError},
    queue::{Entry, PageId, sequence},
    recent::Recent,
};

/// Pages looked through in one step.
const PAGES: usize = 64;
/// Bytes of messages moved in one step, near enough.
const STEP_BYTES: usize = 512 << 10;
/// Bytes of live messages in the segments of one pass, near enough.
const PASS_BYTES: u64 = 16 << 20;
/// What may be dead of a segment when little space is to be taken: one part in so many.
const TIGHT_SLACK: u64 = 8;

/// Moving what is alive out of segments that are mostly dead, so that these can go. All pages
/// are looked through once for a few such segments; nothing new comes to point to them
/// meanwhile.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    victims: BTreeSet<u32>,
    /// The next page to look through.
    from: Option<PageId>,
    /// Where messages that several entries share went.
    moved: Recent<Position>,
    /// Segments that were victims already.
    past: BTreeSet<u32>,
    /// Segments before this one go even if they are mostly alive; 0 for none.
    tight_below: u32,
}

impl Compaction {
    /// Leaves as little as possible of the segments before this one.
    pub(super) fn tighten_below(&mut self, segment: u32) {
        self.tight_below = segment;
    }

    /// A segment is gone.
    pub(super) fn forget(&mut self, segment: u32) {
        self.past.remove(&segment);
        self.victims.remove(&segment);
    }
}

impl<E: Engine> LogStore<E> {
    /// Moves a part of what is alive, if the log is much larger than that.
    pub(super) fn compact(&mut self, done: &mut Maintained) -> Result<(), StoreError> {
        let core = self.core.get_or_insert_default();
        if core.compaction.victims.is_empty() {
            core.compaction.victims = victims(&self.log, core, self.settings.log_slack_bytes);
            if core.compaction.victims.is_empty() {
                return Ok(());
            }
            core.compaction.from = Some((SessionKey(0), 0));
            core.compaction.moved = Recent::default();
            let victims = &core.compaction.victims;
            core.recent.forget(|segment| victims.contains(&segment));
        }
        done.more = true;
        let Some(from) = core.compaction.from else {
            let victims = std::mem::take(&mut core.compaction.victims);
            core.compaction.past.extend(victims);
            return Ok(());
        };
        let range = from..=(SessionKey(u32::MAX), u64::MAX);
        let state = &mut core.state;
        let ids = state.pages.ids(&mut self.engine, &state.changed, range, PAGES)?;
        self.group.clear();
        let mut moving = Moving {
            log: &mut self.log,
            group: &mut self.group,
            compaction: &core.compaction,
            here: BTreeMap::new(),
            changes: Vec::new(),
        };
        let mut next = None;
        for id in &ids {
            if moving.group.len() > STEP_BYTES {
                next = Some(*id);
                break;
            }
            match state.pages.get(*id) {
                Some(page) => moving.page(*id, page.iter()),
                None => {
                    let page = state.pages.fetch(&mut self.engine, &state.changed, *id)?;
                    moving.page(*id, page.iter());
                }
            }
        }
        let Moving { here, changes, .. } = moving;
        if !changes.is_empty() {
            changes.iter().try_for_each(|change| state.prepare(&mut self.engine, change))?;
            let moved = self.group.len();
            self.group.push(CHANGES, |out| change::encode(&changes, out));
            let base = self.log.append(&self.group)?;
            changes.into_iter().for_each(|change| state.apply(change, base));
            for (from, to) in here {
                core.compaction.moved.insert(from, to.resolve(base));
            }
            done.moved_bytes = moved as u64;
        }
        let behind = || ids.last().filter(|_| ids.len() == PAGES).and_then(|id| after(*id));
        core.compaction.from = next.or_else(behind);
        Ok(())
    }
}

fn after((session, number): PageId) -> Option<PageId> {
    match number.checked_add(1) {
        Some(number) => Some((session, number)),
        None => session.0.checked_add(1).map(|session| (SessionKey(session), 0)),
    }
}

/// The segments that are to go, if the log is worth it.
fn victims(log: &Log, core: &Core, slack: u64) -> BTreeSet<u32> {
    let end = log.end().segment;
    let past = &core.compaction.past;
    let holdings = |segment| core.state.ledger.holdings(segment);
    // What nothing needs goes by itself.
    let used = |segment: u32| segment == end || holdings(segment).entries > 0;
    let total: u64 = log.segments().filter(|it| used(it.0)).map(|(_, bytes)| bytes).sum();
    let tight = core.compaction.tight_below;
    if tight == 0 && total <= core.state.ledger.live_bytes().saturating_mul(2).saturating_add(slack)
    {
        return BTreeSet::new();
    }
    let old = log.segments().filter(|(segment, bytes)| {
        let live = holdings(*segment);
        let dead = match *segment < tight {
            true => live.bytes < *bytes - *bytes / TIGHT_SLACK,
            false => tight == 0 && live.bytes.saturating_mul(2) < *bytes,
        };
        *segment < end && live.entries > 0 && dead && !past.contains(segment)
    });
    let mut old: Vec<(u64, u32)> = old
        .map(|(segment, bytes)| (holdings(segment).bytes * 1000 / bytes.max(1), segment))
        .collect();
    old.sort_unstable();
    let mut moved = 0;
    let worth = old.into_iter().take_while(|(_, segment)| {
        let live = holdings(*segment).bytes;
        let first = moved == 0;
        moved += live.max(1);
        first || moved <= PASS_BYTES
    });
    worth.map(|(_, segment)| segment).collect()
}

/// One step's moves.
struct Moving<'a> {
    log: &'a mut Log,
    group: &'a mut GroupBuilder,
    compaction: &'a Compaction,
    /// Where messages go in the group.
    here: BTreeMap<Position, Reference>,
    changes: Vec<Change>,
}

impl Moving<'_> {
    fn page(&mut self, (session, number): PageId, entries: impl Iterator<Item = (u8, Entry)>) {
        for (slot, entry) in entries {
            let Some(from) = entry.message else { continue };
            if !self.compaction.victims.contains(&from.segment) {
                continue;
            }
            let Ok((message, is_first)) = self.message(from) else {
                // The segment stays, for another start to try.
                continue;
            };
            // About half of those that shared a message are gone when this happens.
            let sharers = match (entry.sharers / 2, is_first) {
                (0, true) => 1,
                (half, _) => half,
            };
            let sequence = sequence(number, slot);
            self.changes.push(Change::Move { session, sequence, message, sharers });
        }
    }

    /// Where the message at `from` goes, and whether it is moved now.
    fn message(&mut self, from: Position) -> Result<(Option<Reference>, bool), StoreError> {
        if let Some(there) = self.here.get(&from) {
            return Ok((Some(*there), false));
        }
        if let Some(there) = self.compaction.moved.get(&from) {
            return Ok((Some(Reference::At(there)), false));
        }
        match self.log.read(from) {
            Ok((MESSAGE, bytes)) => {
                let slot = self.group.push(MESSAGE, |out| out.extend_from_slice(&bytes));
                self.here.insert(from, Reference::Here(slot));
                Ok((Some(Reference::Here(slot)), true))
            }
            // Whoever reads the entry is told that its message is damaged.
            Ok(_) | Err(ReadError::Damage) => Ok((None, true)),
            Err(ReadError::Io(error)) => Err(error),
        }
    }
}
