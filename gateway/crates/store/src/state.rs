use std::collections::BTreeMap;

use broker::durable::SessionKey;

use crate::{
    StoreError,
    change::Change,
    changed::Changed,
    engine::Engine,
    key::Kind,
    ledger::Ledger,
    log::Position,
    queue::{Pages, place},
};

/// What is committed and is not in the engine, and what the engine's content adds up to.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) changed: Changed,
    pub(crate) pages: Pages,
    pub(crate) ledger: Ledger,
    /// Above the number of every session ever stored.
    pub(crate) next_session: u32,
    /// What sessions that are about to end keep alive in pages that are not in memory.
    ending: BTreeMap<SessionKey, Ledger>,
}

impl State {
    /// Nothing besides what the engine has.
    pub(crate) fn new(ledger: Ledger, next_session: u32) -> Self {
        Self { ledger, next_session, ..Self::default() }
    }

    /// Brings to memory what `change` needs, so that [`State::apply`] cannot fail.
    pub(crate) fn prepare(
        &mut self,
        engine: &mut dyn Engine,
        change: &Change,
    ) -> Result<(), StoreError> {
        match change {
            Change::Record { .. } => {}
            Change::EndSession { session } => {
                let ledger = self.pages.tally(engine, &self.changed, *session)?;
                self.ending.insert(*session, ledger);
            }
            Change::Put { session, sequence, .. }
            | Change::Release { session, sequence }
            | Change::Remove { session, sequence }
            | Change::Move { session, sequence, .. } => {
                let id = (*session, place(*sequence).0);
                self.pages.touch(engine, &self.changed, id)?;
            }
        }
        Ok(())
    }

    /// Applies a change that was prepared, of a group whose first record is at `base`.
    pub(crate) fn apply(&mut self, change: Change, base: Position) {
        let ledger = &mut self.ledger;
        match change {
            Change::Record { key, body } => {
                if let (Some(Kind::Session), Some(owner), Some(_)) =
                    (key.kind(), key.owner(), &body)
                {
                    self.next_session = self.next_session.max(owner.0.saturating_add(1));
                }
                self.changed.set(key, body);
            }
            Change::EndSession { session } => self.end(session),
            Change::Put { session, sequence, mut entry, message } => {
                entry.message = message.map(|message| message.resolve(base));
                ledger.add(&entry);
                self.pages.change(session, sequence, |page, slot| {
                    if let Some(before) = page.put(slot, entry) {
                        ledger.remove(&before);
                    }
                });
            }
            Change::Release { session, sequence } => {
                self.pages.change(session, sequence, |page, slot| {
                    if let Some(entry) = page.get(slot) {
                        ledger.remove(&entry);
                        page.put(slot, entry.release());
                    }
                });
            }
            Change::Remove { session, sequence } => {
                self.pages.change(session, sequence, |page, slot| {
                    if let Some(before) = page.remove(slot) {
                        ledger.remove(&before);
                    }
                });
            }
            Change::Move { session, sequence, message, sharers } => {
                self.pages.change(session, sequence, |page, slot| {
                    if let Some(mut entry) = page.get(slot).filter(|entry| !entry.released) {
                        ledger.remove(&entry);
                        entry.message = message.map(|message| message.resolve(base));
                        entry.sharers = sharers;
                        ledger.add(&entry);
                        page.put(slot, entry);
                    }
                });
            }
        }
    }

    fn end(&mut self, session: SessionKey) {
        if let Some(ledger) = self.ending.remove(&session) {
            self.ledger.subtract(&ledger);
        }
        for page in self.pages.end(session) {
            page.iter().for_each(|(_, entry)| self.ledger.remove(&entry));
        }
        self.changed.end(session);
    }

    /// Bytes of memory that wait for a checkpoint, near enough.
    pub(crate) fn dirty_bytes(&self) -> usize {
        self.changed.bytes() + self.pages.dirty_bytes()
    }

    /// The same, without what is there only because it lies on a page with what changed. To give
    /// the engine a page for each single change on it would make it write all the others as well.
    pub(crate) fn change_bytes(&self) -> usize {
        self.changed.bytes() + self.pages.change_bytes()
    }

    /// The engine has it all.
    pub(crate) fn settle(&mut self) {
        self.changed.clear();
        self.pages.settle();
    }
}
