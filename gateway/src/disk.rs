use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use broker::durable::Commit;
use store::{Committer, CommitterSettings, CommitterStats, Event, Store, StoreError};

use crate::hub::Hub;

/// The way from the hub to the disk and back: the hub hands commits in, the committer's thread
/// tells the hub how far they are durable. Each needs the other, so the disk is made first and
/// started when there is a hub.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Option<Committer>>>);

impl Disk {
    /// Starts the committer's thread.
    pub(crate) fn start(
        &self,
        store: Box<dyn Store>,
        settings: CommitterSettings,
        hub: &Arc<Hub>,
    ) -> Result<(), StoreError> {
        let hub = Arc::downgrade(hub);
        let committer =
            Committer::spawn(store, settings, Box::new(move |event| report(&hub, event)))?;
        *self.lock() = Some(committer);
        Ok(())
    }

    /// Hands over a commit. After the end there is nobody to promise anything to.
    pub(crate) fn submit(&self, commit: Commit) {
        if let Some(committer) = &*self.lock() {
            committer.submit(commit);
        }
    }

    pub(crate) fn stats(&self) -> CommitterStats {
        self.lock().as_ref().map(Committer::stats).unwrap_or_default()
    }

    /// Writes what was handed over and ends the thread. Blocks.
    pub(crate) fn shut_down(&self) -> Result<(), StoreError> {
        // Taken out first: the thread reports to the hub, which may come here.
        let committer = self.lock().take();
        committer.map_or(Ok(()), Committer::shutdown)
    }

    /// A panic elsewhere leaves the committer whole.
    fn lock(&self) -> MutexGuard<'_, Option<Committer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report(hub: &Weak<Hub>, event: Event) {
    match event {
        Event::Committed { upto, stats } => {
            tracing::trace!(
                records_written = stats.records_written,
                records_removed = stats.records_removed,
                bytes = stats.bytes,
                "commit durable"
            );
            if let Some(hub) = hub.upgrade() {
                hub.committed(upto);
            }
        }
        Event::Failed { error, retry_in } => {
            tracing::error!(
                error = %error,
                retry_in_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
                "commit failed; nothing that depends on it is acknowledged until it succeeds"
            );
        }
    }
}
