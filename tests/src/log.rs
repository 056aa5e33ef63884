use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a gateway has said on standard error, line by line as it comes.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Lines>);

#[derive(Debug, Default)]
struct Lines {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
    /// Sources from which more can come.
    open: AtomicUsize,
}

impl Log {
    pub(crate) fn read(from: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        log.follow(from);
        log
    }

    /// Reads one more source.
    pub(crate) fn follow(&self, from: impl Read + Send + 'static) {
        let lines = Arc::clone(&self.0);
        lines.open.fetch_add(1, Ordering::Release);
        thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                lines.grown.notify_all();
            }
            lines.open.fetch_sub(1, Ordering::Release);
        });
    }

    /// Waits until nothing more can come, for the process has closed its side.
    pub(crate) fn wait_for_end(&self, patience: Duration) {
        let until = Instant::now() + patience;
        while self.0.open.load(Ordering::Acquire) > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many lines there are: where to begin to look for what comes next.
    pub fn mark(&self) -> usize {
        self.lines().len()
    }

    /// All lines.
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The last `count` lines.
    pub fn tail(&self, count: usize) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// The events since `mark` with this message.
    pub fn events(&self, mark: usize, message: &str) -> Vec<Value> {
        let lines = self.lines();
        let fresh = lines.iter().skip(mark);
        fresh.filter_map(|line| event(line)).filter(|event| event["message"] == message).collect()
    }

    /// Waits for an event since `mark` that `fits`; `None` when it does not come.
    pub fn wait(
        &self,
        mark: usize,
        patience: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Option<Value> {
        let until = Instant::now() + patience;
        let mut seen = mark;
        let mut lines = self.lines();
        loop {
            let found = lines.iter().skip(seen).filter_map(|line| event(line)).find(&fits);
            if found.is_some() {
                return found;
            }
            seen = lines.len().max(mark);
            let left = until.checked_duration_since(Instant::now())?;
            lines =
                self.0.grown.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a line that contains `words`, in a log of any format.
    pub fn wait_for_words(&self, words: &str, patience: Duration) -> bool {
        self.wait_for_lines(words, 1, patience)
    }

    /// Waits until `count` lines contain `words`.
    pub fn wait_for_lines(&self, words: &str, count: usize, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut lines = self.lines();
        while lines.iter().filter(|line| line.contains(words)).count() < count {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return false };
            lines =
                self.0.grown.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}
