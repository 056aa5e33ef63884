//! Lines that are written by a thread of their own.

use std::io::{self, Write};
use std::sync::Arc;

use crate::Counter;
use crate::writer::{Flush, Writer};

/// Hands lines to a thread that writes them, and never makes anybody wait: a line for which there is no room is counted
/// and dropped. What waits is written when the value is dropped.
#[derive(Debug)]
pub struct Lines {
    writer: Writer,
    dropped: Arc<Counter>,
    _flush: Flush,
}

impl Lines {
    /// Starts the thread, which is called `name`.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn start(name: &str, sink: impl Write + Send + 'static) -> io::Result<Self> {
        let dropped = Arc::new(Counter::default());
        let (writer, flush) = Writer::start(name, sink, Arc::clone(&dropped))?;
        Ok(Self { writer, dropped, _flush: flush })
    }

    /// Takes a line, without its end.
    pub fn write(&self, mut line: String) {
        line.push('\n');
        self.writer.take(line.as_bytes());
    }

    /// Lines that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }
}
