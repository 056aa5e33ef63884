use super::LogStore;
use crate::{Incident, Store, StoreError, change::CHANGES, engine::Engine, log::Position};

impl<E: Engine> LogStore<E> {
    /// Takes as little space as is possible without much more work than that is worth: for a store
    /// that nobody else uses meanwhile. When it is interrupted, what it did so far stays.
    pub(crate) fn tighten(&mut self) -> Result<Vec<Incident>, StoreError> {
        self.ready()?;
        let mut incidents = std::mem::take(&mut self.incidents);
        let Position { segment, .. } = self.log.end();
        let core = self.core.get_or_insert_default();
        core.compaction.tighten_below(segment);
        // The newest file tells which groups there were, and is kept for it: that is to be one
        // with little in it. Segments after it are not moved once more.
        self.group.clear();
        self.group.push(CHANGES, |_| ());
        self.log.append(&self.group)?;
        loop {
            let step = self.maintain()?;
            incidents.extend(step.incidents);
            if !step.more {
                break;
            }
        }
        self.checkpoint()?;
        let live = self.core.as_ref().map_or(0, |core| core.engine_live);
        self.engine.settle(live, 0);
        incidents.extend(self.engine.incidents());
        Ok(incidents)
    }
}
