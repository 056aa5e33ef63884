//! Extensions that are told what happens. Nobody waits for them.

mod queue;
mod told;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use broker::Event;
use extension_host::{Extension, Failure, MAX_EVENTS, Observed};

use crate::failure::Failure as Fault;
use queue::{Batch, Queue};
use told::Told;

/// How long events wait for others to be told with them.
const PAUSE: Duration = Duration::from_millis(100);

/// How long what is left is told when the gateway stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The extensions that `observers` names, each with a queue and a thread of its own.
#[derive(Debug)]
pub(crate) struct Observers {
    queues: Vec<Arc<Queue>>,
    threads: Vec<JoinHandle<()>>,
}

impl Observers {
    /// Starts a thread for each; none if there is nobody.
    pub(crate) fn start(extensions: Vec<Extension>) -> Result<Option<Arc<Self>>, Fault> {
        if extensions.is_empty() {
            return Ok(None);
        }
        let mut observers = Self { queues: Vec::new(), threads: Vec::new() };
        for extension in extensions {
            let queue = Arc::new(Queue::default());
            observers.queues.push(Arc::clone(&queue));
            let thread = thread::Builder::new()
                .name("observer".into())
                .spawn(move || Narrator { extension, queue, is_well: true }.run())
                .map_err(|error| Fault::System { what: "start a thread", error })?;
            observers.threads.push(thread);
        }
        Ok(Some(Arc::new(observers)))
    }

    /// Has an event told soon. Called on the threads of connections.
    pub(crate) fn note(&self, event: &Event) {
        let told = Arc::new(Told::of(event));
        for queue in &self.queues {
            queue.put(Arc::clone(&told));
        }
    }

    /// Events that were not told, to any of them, because more happened than could be.
    pub(crate) fn missed(&self) -> u64 {
        self.queues.iter().map(|queue| queue.missed_so_far()).sum()
    }

    /// Has what is left told, within a time, and takes nothing more. Blocks until that is done.
    pub(crate) fn close(&self) {
        self.queues.iter().for_each(|queue| queue.close());
        let until = Instant::now() + 2 * LAST_WORDS;
        while !self.threads.iter().all(JoinHandle::is_finished) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Who tells one extension what is in its queue.
struct Narrator {
    extension: Extension,
    queue: Arc<Queue>,
    /// It has taken what it was told last.
    is_well: bool,
}

impl Narrator {
    fn run(mut self) {
        while let Some(batch) = self.queue.take(PAUSE) {
            self.tell(&batch);
        }
        let until = Instant::now() + LAST_WORDS;
        while Instant::now() < until
            && let Some(batch) = self.queue.take_left()
        {
            self.tell(&batch);
        }
    }

    fn tell(&mut self, batch: &Batch) {
        let events: Vec<Observed<'_>> = batch.events.iter().map(|told| told.observed()).collect();
        debug_assert!(events.len() <= MAX_EVENTS, "a batch is one call");
        let answer = self.extension.observe(&events, batch.missed);
        let Err(failure) = answer.result else {
            self.is_well = true;
            return;
        };
        let pause = match failure {
            // It has heard nothing of it.
            Failure::BreakerOpen { retry_in } => Some(retry_in),
            Failure::Saturated => Some(PAUSE),
            _ => None,
        };
        if std::mem::take(&mut self.is_well) {
            let (extension, events) = (&*answer.by, events.len());
            tracing::warn!(extension, events, %failure, "observer did not take what happened");
        }
        if let Some(pause) = pause {
            self.queue.put_off(batch, pause);
        }
    }
}
