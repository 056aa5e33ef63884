use std::sync::Arc;

use broker::Message;
use broker::durable::{Page, Read, StoredDelivery};

use super::LogStore;
use crate::{
    StoreError,
    change::MESSAGE,
    engine::Engine,
    log::{Log, Position, ReadError},
    queue::{Entry, place, sequence},
    record,
};

/// Entries that one read looks at, at most.
const LOOKED_AT: usize = 4096;
/// Pages listed at a time.
const PAGES: usize = 8;

impl<E: Engine> LogStore<E> {
    /// Reads entries of a queue that are committed.
    pub(super) fn read_page(&mut self, read: &Read) -> Result<Page, StoreError> {
        let page = self.gather(read);
        self.core.get_or_insert_default().state.pages.trim();
        page
    }

    fn gather(&mut self, read: &Read) -> Result<Page, StoreError> {
        let core = self.core.get_or_insert_default();
        let mut reading = Reading {
            read,
            log: &mut self.log,
            page: Page { entries: Vec::new(), next: None, first_expiry: None },
            bytes: 0,
            looked_at: 0,
        };
        let (mut from, end) = (place(read.from).0, (read.session, u64::MAX));
        loop {
            let range = (read.session, from)..=end;
            let ids = core.state.pages.ids(&mut self.engine, &core.state.changed, range, PAGES)?;
            for id in &ids {
                let page = core.state.pages.touch(&mut self.engine, &core.state.changed, *id)?;
                for (slot, entry) in page.iter() {
                    if !reading.take(sequence(id.1, slot), &entry)? {
                        return Ok(reading.page);
                    }
                }
            }
            match ids.last() {
                Some((_, last)) if ids.len() == PAGES && *last < u64::MAX => from = last + 1,
                _ => return Ok(reading.page),
            }
        }
    }
}

struct Reading<'a> {
    read: &'a Read,
    log: &'a mut Log,
    page: Page,
    bytes: usize,
    looked_at: usize,
}

impl Reading<'_> {
    /// Looks at the next entry; `false` when there is no room for it.
    fn take(&mut self, sequence: u64, entry: &Entry) -> Result<bool, StoreError> {
        let Read { from, max_entries, max_bytes, wanted, .. } = *self.read;
        if sequence < from {
            return Ok(true);
        }
        let weight = entry.weight as usize;
        let counted = if wanted.with_messages() { weight } else { 0 };
        let page = &mut self.page;
        let full = page.entries.len() >= max_entries.max(1)
            || (!page.entries.is_empty() && self.bytes + counted > max_bytes);
        if full || self.looked_at >= LOOKED_AT {
            page.next = Some(sequence);
            return Ok(false);
        }
        self.looked_at += 1;
        if !entry.is_wanted(wanted) {
            page.first_expiry = page.first_expiry.into_iter().chain(entry.expires).min();
            return Ok(true);
        }
        let body = match entry.message.filter(|_| wanted.with_messages()) {
            Some(position) => message(self.log, position)?,
            None => None,
        };
        self.bytes += counted;
        let delivery = entry.delivery();
        page.entries.push(StoredDelivery { sequence, delivery, weight, body });
        Ok(true)
    }
}

/// The message at `position`; `None` if it is damaged.
fn message(log: &mut Log, position: Position) -> Result<Option<Arc<Message>>, StoreError> {
    match log.read(position) {
        Ok((MESSAGE, bytes)) => Ok(record::decode_message(&bytes).ok().map(Arc::new)),
        Ok(_) | Err(ReadError::Damage) => Ok(None),
        Err(ReadError::Io(error)) => Err(error),
    }
}
