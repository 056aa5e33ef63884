//! A candidate that decides beside the running generation, off the path of the clients.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::asked::Asked;
use crate::generation::Generation;
use crate::rollout::{Difference, Tally};
use crate::said::Said;

/// Decisions that may wait for the candidate; more are skipped, never waited for.
const QUEUE: usize = 256;

/// Where decisions go to be made again. Its thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Shadow {
    queue: SyncSender<(Asked, Said)>,
    tally: Arc<Tally>,
}

impl Shadow {
    /// Starts the thread; nothing if the system has none to give.
    pub(crate) fn start(candidate: Arc<Generation>, tally: Arc<Tally>) -> Option<Self> {
        let (queue, decisions) = sync_channel(QUEUE);
        let shadow = Self { queue, tally: Arc::clone(&tally) };
        thread::Builder::new()
            .name("extension-shadow".into())
            .spawn(move || watch(&candidate, &tally, &decisions))
            .inspect_err(|error| tracing::error!(%error, "no thread for a shadow"))
            .ok()?;
        Some(shadow)
    }

    /// Has the candidate decide the same.
    pub(crate) fn compare(&self, asked: Asked, said: Said) {
        if self.queue.try_send((asked, said)).is_err() {
            self.tally.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn watch(candidate: &Arc<Generation>, tally: &Tally, decisions: &Receiver<(Asked, Said)>) {
    while let Ok((asked, running)) = decisions.recv() {
        let said = asked.ask(candidate, None);
        tally.decisions.fetch_add(1, Ordering::Relaxed);
        if said.agrees(&running) {
            continue;
        }
        let difference = Difference {
            client_id: asked.client_id().to_owned(),
            hook: asked.hook(),
            what: asked.what().to_owned(),
            running: running.to_string(),
            candidate: said.told_apart_from(&running),
        };
        tracing::info!(
            extension = &*candidate.id,
            client = difference.client_id,
            hook = difference.hook,
            what = difference.what,
            running = difference.running,
            candidate = difference.candidate,
            "shadow differs"
        );
        tally.differs(difference);
    }
}
