use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::record::Record;

/// A moment in the order of all that the clients sent and heard.
pub(crate) type Tick = u64;

/// Gives each event a number. What is sent is numbered before it is sent, what is heard after it was
/// heard: of two events where one can have caused the other, the cause has the lower number.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    next: AtomicU64,
    /// Where the gateway's writes are recorded: each tick is noted between them.
    trace: Option<Mutex<File>>,
}

impl Clock {
    /// A clock whose ticks stand among the gateway's writes, in a file that is open for appending.
    pub(crate) fn tracing(trace: File) -> Self {
        Self { next: AtomicU64::new(0), trace: Some(Mutex::new(trace)) }
    }

    pub(crate) fn tick(&self) -> Tick {
        let Some(trace) = &self.trace else { return self.next() };
        // Numbered and written together, so that the marks are in order.
        let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
        let tick = self.next();
        trace.write_all(&Record::mark(tick)).expect("the trace is writable");
        tick
    }

    fn next(&self) -> Tick {
        self.next.fetch_add(1, Ordering::SeqCst)
    }
}
