//! A candidate that decides beside the running generation, off the path of the clients.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use crate::asked::Asked;
use crate::extension::lock;
use crate::generation::Generation;
use crate::rollout::{Difference, Tally};
use crate::said::Said;

/// Decisions that may wait for the candidate; more are skipped, never waited for.
const QUEUE: usize = 256;

/// Where decisions go to be made again. Its thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Shadow {
    queue: SyncSender<Option<(Asked, Said)>>,
    tally: Arc<Tally>,
    /// Whatever waits in the queue is not decided any more.
    is_over: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Shadow {
    /// Starts the thread; nothing if the system has none to give.
    pub(crate) fn start(candidate: Arc<Generation>, tally: Arc<Tally>) -> Option<Self> {
        let (queue, decisions) = sync_channel(QUEUE);
        let (is_over, kept) = (Arc::new(AtomicBool::new(false)), Arc::clone(&tally));
        let over = Arc::clone(&is_over);
        let thread = thread::Builder::new()
            .name("extension-shadow".into())
            .spawn(move || watch(&candidate, &tally, &decisions, &over))
            .inspect_err(|error| tracing::error!(%error, "no thread for a shadow"))
            .ok()?;
        Some(Self { queue, tally: kept, is_over, thread: Mutex::new(Some(thread)) })
    }

    /// Ends it after the decision that it is making, and waits for that: as long as a call may take.
    pub(crate) fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        // It waits for something to decide, or has a full queue before it and looks up after the next.
        let _ = self.queue.try_send(None);
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a shadow did not end in order");
        }
    }

    /// Has the candidate decide the same.
    pub(crate) fn compare(&self, asked: Asked, said: Said) {
        if self.queue.try_send(Some((asked, said))).is_err() {
            self.tally.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn watch(
    candidate: &Arc<Generation>,
    tally: &Tally,
    decisions: &Receiver<Option<(Asked, Said)>>,
    is_over: &AtomicBool,
) {
    while let Ok(Some((asked, running))) = decisions.recv() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
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
