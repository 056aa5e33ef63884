//! A writer that never makes anybody wait.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::Counter;

/// Lines that may wait to be written: some seconds of a busy log, about 2 MiB.
const CAPACITY: usize = 8192;

/// How long the end of the process waits for standard error to take the last lines.
const PATIENCE: Duration = Duration::from_secs(2);

/// Hands lines to a thread that writes them. A line for which there is no room is counted and
/// dropped: a reader of the log that hangs must not stop the gateway.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    queue: SyncSender<Entry>,
    dropped: Arc<Counter>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Ends the thread. Answered by dropping the sender.
    End(SyncSender<()>),
}

/// Waits for the last lines when it is dropped.
#[derive(Debug)]
pub(crate) struct Flush {
    queue: SyncSender<Entry>,
}

impl Writer {
    pub(crate) fn start(
        name: &str,
        sink: impl Write + Send + 'static,
        dropped: Arc<Counter>,
    ) -> io::Result<(Self, Flush)> {
        let (queue, entries) = sync_channel(CAPACITY);
        thread::Builder::new().name(name.to_owned()).spawn(move || run(&entries, sink))?;
        Ok((Self { queue: queue.clone(), dropped }, Flush { queue }))
    }

    /// Takes one line.
    pub(crate) fn take(&self, line: &[u8]) {
        match self.queue.try_send(Entry::Line(printable(line).into_owned())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped.increment(),
        }
    }
}

fn run(entries: &Receiver<Entry>, mut sink: impl Write) {
    // There is nobody to whom a failing log could be reported; the next line may pass.
    while let Ok(entry) = entries.recv() {
        match entry {
            Entry::Line(line) => drop(sink.write_all(&line)),
            Entry::End(answer) => {
                drop(sink.flush());
                drop(answer);
                return;
            }
        }
    }
}

impl Write for Writer {
    /// Takes one line: a formatter hands over each as a whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let (answer, answered) = sync_channel(0);
        let mut end = Entry::End(answer);
        loop {
            end = match self.queue.try_send(end) {
                Ok(()) => break,
                Err(TrySendError::Full(end)) if Instant::now() < deadline => end,
                Err(_) => return,
            };
            thread::sleep(Duration::from_millis(5));
        }
        let patience = deadline.saturating_duration_since(Instant::now());
        match answered.recv_timeout(patience) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
    }
}

/// A line without control characters but its end: a client's name must not end lines, nor reach
/// the terminal of whoever reads the log.
fn printable(line: &[u8]) -> Cow<'_, [u8]> {
    let (text, end) = match line.strip_suffix(b"\n") {
        Some(text) => (text, "\n"),
        None => (line, ""),
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return Cow::Owned(format!("{}{end}", text.escape_ascii()).into_bytes());
    };
    if !text.contains(char::is_control) {
        return Cow::Borrowed(line);
    }
    let mut printable = String::with_capacity(line.len() + 16);
    for character in text.chars() {
        if character.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(printable, "{}", character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable.push_str(end);
    Cow::Owned(printable.into_bytes())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A sink whose content a test can see.
    #[derive(Clone, Default)]
    pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_last_lines_are_written() {
        let sink = Shared::default();
        let dropped = Arc::new(Counter::default());
        let (mut writer, flush) = Writer::start("log", sink.clone(), Arc::clone(&dropped)).unwrap();
        for n in 0..5000 {
            writer.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        drop(flush);
        assert_eq!(sink.text().lines().count(), 5000);
        assert_eq!(dropped.get(), 0);
        writer.write_all(b"too late\n").unwrap();
        assert_eq!(dropped.get(), 1);
    }

    #[test]
    fn a_sink_that_hangs_makes_nobody_wait() {
        let sink = Shared::default();
        let dropped = Arc::new(Counter::default());
        let (mut writer, flush) = Writer::start("log", sink.clone(), Arc::clone(&dropped)).unwrap();
        let hanging = sink.0.lock().unwrap();
        let start = Instant::now();
        for _ in 0..CAPACITY + 1000 {
            writer.write_all(b"x\n").unwrap();
        }
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        // One line is in the hands of the thread.
        assert!((999..=1000).contains(&dropped.get()), "{}", dropped.get());
        drop(hanging);
        drop(flush);
        let written = u64::try_from(sink.text().lines().count()).unwrap();
        assert_eq!(written + dropped.get(), u64::try_from(CAPACITY + 1000).unwrap());
    }

    #[test]
    fn control_characters_are_spelled_out() {
        for (line, shown) in [
            (&b"plain \xc3\xa4\n"[..], "plain \u{e4}\n"),
            (b"a\nb\r\x1b[0m\x7f\n", "a\\nb\\r\\u{1b}[0m\\u{7f}\n"),
            (b"\xc2\x9b2J", "\\u{9b}2J"),
            (b"\xff\n", "\\xff\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(&printable(line)), shown);
        }
    }
}
