use broker::durable::SessionKey;

use super::LogStore;
use crate::{
    Store, StoreError,
    engine::Engine,
    ledger::Holdings,
    log::Position,
    numbers::Numbers,
    queue::{QueuePage, place},
};

/// A store that lets itself be looked into.
pub(crate) trait Look: Store {
    /// Files of the log whose header is damaged; before it is loaded.
    fn unsound_segments(&self) -> Vec<u32>;

    /// After it is loaded.
    fn figures(&self) -> Figures;

    /// Where the message of a queue entry is.
    fn position(
        &mut self,
        session: SessionKey,
        sequence: u64,
    ) -> Result<Option<Position>, StoreError>;

    /// Pages that could not be read since the last call.
    fn unreadable_pages(&mut self) -> u64;
}

/// Figures of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) numbers: Numbers,
    pub(crate) next_group: u64,
    /// Number, bytes and what is alive of each file of the log.
    pub(crate) segments: Vec<(u32, u64, Holdings)>,
    pub(crate) unsound: Vec<u32>,
}

impl<E: Engine> Look for LogStore<E> {
    fn unsound_segments(&self) -> Vec<u32> {
        self.log.unsound().collect()
    }

    fn figures(&self) -> Figures {
        let Some(core) = &self.core else { return Figures::default() };
        let holdings = |number| core.state.ledger.holdings(number);
        let segments = self.log.segments();
        Figures {
            numbers: core.numbers,
            next_group: self.log.next_group(),
            segments: segments.map(|(number, bytes)| (number, bytes, holdings(number))).collect(),
            unsound: Vec::new(),
        }
    }

    fn position(
        &mut self,
        session: SessionKey,
        sequence: u64,
    ) -> Result<Option<Position>, StoreError> {
        let (number, slot) = place(sequence);
        let core = self.core.get_or_insert_default();
        let state = &mut core.state;
        let page = state.pages.touch(&mut self.engine, &state.changed, (session, number))?;
        let position = QueuePage::get(page, slot).and_then(|entry| entry.message);
        state.pages.trim();
        Ok(position)
    }

    fn unreadable_pages(&mut self) -> u64 {
        self.core.as_mut().map_or(0, |core| core.state.pages.take_unreadable())
    }
}
