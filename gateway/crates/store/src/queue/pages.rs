use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use broker::durable::SessionKey;

use super::{Entry, QueuePage, packed::PACKED_BYTES, page::SLOTS, place};
use crate::{
    StoreError,
    changed::Changed,
    engine::{self, Engine},
    key::{Key, Kind},
    ledger::Ledger,
};

/// Session and number of a page.
pub(crate) type PageId = (SessionKey, u64);

/// Unchanged pages that are kept in memory at most.
const CLEAN_MAX: usize = 256;
/// What a page costs in memory besides its entries, near enough.
const PAGE_BYTES: usize = 160;

/// The pages that are in memory.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    resident: BTreeMap<PageId, Resident>,
    /// Counts uses.
    clock: u64,
    clean: usize,
    /// Bytes of memory that pages take which the engine has otherwise, near enough.
    dirty_bytes: usize,
    /// Changes since the engine had them all.
    changes: usize,
    /// Pages that could not be read, of which nobody was told yet.
    unreadable: u64,
}

#[derive(Debug)]
struct Resident {
    page: QueuePage,
    /// Whether the engine has another one.
    dirty: bool,
    used: u64,
}

impl Pages {
    /// The page with this number, brought to memory.
    pub(crate) fn touch(
        &mut self,
        engine: &mut dyn Engine,
        changed: &Changed,
        id: PageId,
    ) -> Result<&QueuePage, StoreError> {
        if !self.resident.contains_key(&id) {
            let page = self.fetch(engine, changed, id)?;
            self.resident.insert(id, Resident { page, dirty: false, used: 0 });
            self.clean += 1;
        }
        self.clock += 1;
        let resident = self.resident.entry(id).or_insert_with(Resident::empty);
        resident.used = self.clock;
        Ok(&resident.page)
    }

    /// The page with this number, if it is in memory.
    pub(crate) fn get(&self, id: PageId) -> Option<&QueuePage> {
        self.resident.get(&id).map(|resident| &resident.page)
    }

    /// A page that is not in memory, without bringing it there.
    pub(crate) fn fetch(
        &mut self,
        engine: &mut dyn Engine,
        changed: &Changed,
        (session, number): PageId,
    ) -> Result<QueuePage, StoreError> {
        if changed.is_ended(session) {
            return Ok(QueuePage::default());
        }
        let record = engine::get_record(engine, Kind::Queue, Key::page(session, number))?;
        match record.map(|body| body.and_then(|body| QueuePage::decode(&body))) {
            None => Ok(QueuePage::default()),
            Some(Ok(page)) => Ok(page),
            Some(Err(_)) => {
                self.unreadable += 1;
                Ok(QueuePage::default())
            }
        }
    }

    /// Changes the entry at `sequence` of a page that is in memory.
    pub(crate) fn change(
        &mut self,
        session: SessionKey,
        sequence: u64,
        change: impl FnOnce(&mut QueuePage, u8),
    ) {
        let (number, slot) = place(sequence);
        let resident = self.resident.entry((session, number)).or_insert_with(|| {
            self.clean += 1;
            Resident::empty()
        });
        if !resident.dirty {
            resident.dirty = true;
            self.clean -= 1;
            self.dirty_bytes += PAGE_BYTES + resident.page.len() * PACKED_BYTES;
        }
        self.dirty_bytes += PACKED_BYTES;
        self.changes += 1;
        self.clock += 1;
        resident.used = self.clock;
        change(&mut resident.page, slot);
    }

    /// Removes entries that `keep` does not approve from a page that is in memory.
    pub(crate) fn prune(&mut self, id: PageId, keep: impl FnMut(&Entry) -> bool) -> Vec<Entry> {
        let mut removed = Vec::new();
        if let Some(resident) = self.resident.get_mut(&id) {
            removed = resident.page.retain(keep);
            if !removed.is_empty() && !std::mem::replace(&mut resident.dirty, true) {
                self.clean -= 1;
                self.dirty_bytes += PAGE_BYTES + resident.page.len() * PACKED_BYTES;
            }
        }
        removed
    }

    /// What a session's queue keeps alive in pages that are not in memory.
    pub(crate) fn tally(
        &mut self,
        engine: &mut dyn Engine,
        changed: &Changed,
        session: SessionKey,
    ) -> Result<Ledger, StoreError> {
        let mut ledger = Ledger::default();
        let (mut from, end) = ((session, 0), (session, u64::MAX));
        loop {
            let ids = self.ids(engine, changed, from..=end, BATCH)?;
            for id in &ids {
                if !self.resident.contains_key(id) {
                    let page = self.fetch(engine, changed, *id)?;
                    page.iter().for_each(|(_, entry)| ledger.add(&entry));
                }
            }
            match ids.last() {
                Some(&(_, last)) if ids.len() == BATCH && last < u64::MAX => {
                    from = (session, last + 1);
                }
                _ => return Ok(ledger),
            }
        }
    }

    /// Forgets a session's pages; gives back what was in memory.
    pub(crate) fn end(&mut self, session: SessionKey) -> Vec<QueuePage> {
        let ids = (session, 0)..=(session, u64::MAX);
        let ids: Vec<PageId> = self.resident.range(ids).map(|(id, _)| *id).collect();
        let mut ended = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(Resident { page, dirty, .. }) = self.resident.remove(&id) {
                self.clean -= usize::from(!dirty);
                ended.push(page);
            }
        }
        ended
    }

    /// The pages of `range` that may have entries, in order; the first `limit` of them.
    pub(crate) fn ids(
        &self,
        engine: &mut dyn Engine,
        changed: &Changed,
        range: std::ops::RangeInclusive<PageId>,
        limit: usize,
    ) -> Result<Vec<PageId>, StoreError> {
        let (from, end) = (*range.start(), *range.end());
        let filled = self.resident.range(range).filter(|(_, it)| !it.page.is_empty());
        let mut ids: BTreeSet<PageId> = filled.map(|(id, _)| *id).take(limit).collect();
        let prefix = match from.0 == end.0 {
            true => Key::owned_by(Kind::Queue, from.0),
            false => Key::of_kind(Kind::Queue),
        };
        let mut found = 0;
        engine.range(&Key::page(from.0, from.1), &prefix, &mut |key, _| {
            let Some(id) = page_id(key) else { return ControlFlow::Continue(()) };
            if id > end {
                return ControlFlow::Break(());
            }
            let empty = self.get(id).is_some_and(QueuePage::is_empty);
            if !changed.is_ended(id.0) && !empty && ids.insert(id) {
                found += 1;
            }
            if found < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(ids.into_iter().take(limit).collect())
    }

    /// The pages that the engine has otherwise.
    pub(crate) fn dirty(&self) -> impl Iterator<Item = (PageId, &QueuePage)> {
        let dirty = self.resident.iter().filter(|(_, resident)| resident.dirty);
        dirty.map(|(id, resident)| (*id, &resident.page))
    }

    /// All pages that are in memory.
    pub(crate) fn resident(&self) -> impl Iterator<Item = (PageId, &QueuePage)> {
        self.resident.iter().map(|(id, resident)| (*id, &resident.page))
    }

    /// Bytes of memory that changed pages take, near enough.
    pub(crate) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// Changes since the engine had them all, each with what it may take in memory.
    pub(crate) fn change_bytes(&self) -> usize {
        self.changes * PACKED_BYTES
    }

    /// The engine has them all.
    pub(crate) fn settle(&mut self) {
        (self.dirty_bytes, self.changes) = (0, 0);
        self.resident.retain(|_, resident| !resident.page.is_empty());
        self.resident.values_mut().for_each(|resident| resident.dirty = false);
        self.clean = self.resident.len();
        self.trim();
    }

    /// Forgets unchanged pages beyond what may be kept: those that were not used for longest.
    pub(crate) fn trim(&mut self) {
        if self.clean <= CLEAN_MAX {
            return;
        }
        let clean = self.resident.values().filter(|resident| !resident.dirty);
        let mut used: Vec<u64> = clean.map(|resident| resident.used).collect();
        used.sort_unstable();
        let oldest = used.len().saturating_sub(CLEAN_MAX / 2);
        let since = used.get(oldest).copied().unwrap_or(u64::MAX);
        self.resident.retain(|_, resident| resident.dirty || resident.used >= since);
        self.clean = self.resident.values().filter(|resident| !resident.dirty).count();
    }

    /// Pages that turned out to be unreadable since the last call.
    pub(crate) fn take_unreadable(&mut self) -> u64 {
        std::mem::take(&mut self.unreadable)
    }
}

/// Pages listed at a time.
const BATCH: usize = 256;
const _: () = assert!(SLOTS <= 128);

impl Resident {
    fn empty() -> Self {
        Self { page: QueuePage::default(), dirty: false, used: 0 }
    }
}

/// Which page a key of the engine is of; `None` also for all its pieces but the first.
pub(crate) fn page_id(key: &[u8]) -> Option<PageId> {
    let (key, place) = Key::parse(key)?;
    let number = key.field(5).map(u64::from_be_bytes)?;
    (place.kind == Kind::Queue && place.base == key).then_some((key.owner()?, number))
}
