use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use broker::Reader;
use broker::durable::{Commit, Read};
use store::{Committer, CommitterSettings, CommitterStats, Event, Store, StoreError};

use crate::hub::Hub;

/// What the disk is to do.
#[derive(Debug)]
pub(crate) enum Errand {
    /// To write, and to say when it is done.
    Commit(Commit),
    /// To read, and to bring what was found.
    Read { reader: Reader, read: Read },
}

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

    /// Hands over an errand. After the end there is nobody to promise anything to.
    pub(crate) fn submit(&self, errand: Errand) {
        match (&*self.lock(), errand) {
            (Some(committer), Errand::Commit(commit)) => committer.submit(commit),
            (Some(committer), Errand::Read { reader, read }) => committer.read(reader, read),
            (None, _) => {}
        }
    }

    pub(crate) fn stats(&self) -> CommitterStats {
        self.lock().as_ref().map(Committer::stats).unwrap_or_default()
    }

    /// Asks the thread whether it is there; answers with what to ask [`has_answered`](Self::has_answered) with.
    pub(crate) fn knock(&self) -> u64 {
        self.lock().as_ref().map(Committer::knock).unwrap_or_default()
    }

    /// Whether the thread has looked since it was asked.
    pub(crate) fn has_answered(&self, knock: u64) -> bool {
        self.lock().as_ref().is_none_or(|committer| committer.has_answered(knock))
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

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn report(hub: &Weak<Hub>, event: Event) {
    match event {
        Event::Committed { upto, synced, stats } => {
            tracing::trace!(
                records_written = stats.records_written,
                records_removed = stats.records_removed,
                bytes = stats.bytes,
                "commit durable"
            );
            if let Some(hub) = hub.upgrade() {
                hub.committed(upto, synced);
            }
        }
        Event::ReadFailed { error, retry_in } => {
            tracing::error!(
                error = %error,
                retry_in_ms = ms(retry_in),
                "queue could not be read; what waits in it is delivered when it can"
            );
        }
        Event::Read { reader, page } => {
            if let Some(hub) = hub.upgrade() {
                hub.page_read(reader, page);
            }
        }
        Event::Failed { error, retry_in } => {
            tracing::error!(
                error = %error,
                retry_in_ms = ms(retry_in),
                "commit failed; nothing that depends on it is acknowledged until it succeeds"
            );
        }
        Event::Full => {
            if let Some(hub) = hub.upgrade() {
                hub.set_disk_full(true);
            }
            tracing::error!(
                "disk is full; publishes that would have to be kept are refused, what waits is delivered"
            );
        }
        Event::Space => {
            if let Some(hub) = hub.upgrade() {
                hub.set_disk_full(false);
            }
            // Whoever reads this may rely on it.
            tracing::info!("disk has space again");
        }
        Event::Incident(incident) => tracing::warn!(incident = %incident, "store incident"),
        Event::MaintenanceFailed { error, retry_in } => {
            tracing::warn!(
                error = %error,
                retry_in_ms = ms(retry_in),
                "store could not be tidied; it takes more space and a longer start until it can"
            );
        }
    }
}
