//! A guest's log lines on their way into the gateway's log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::Level;

use crate::stats::Counters;

/// Bytes of one line, fields included; what is longer is cut.
const MAX_LINE_BYTES: usize = 4 << 10;

/// Writes the lines of one extension, within its rate.
#[derive(Debug)]
pub(crate) struct LogSink {
    extension: Arc<str>,
    bucket: Mutex<Bucket>,
    counters: Arc<Counters>,
}

impl LogSink {
    pub(crate) fn new(extension: Arc<str>, bytes_per_second: u32, counters: Arc<Counters>) -> Self {
        let bucket = Mutex::new(Bucket::full(bytes_per_second, Instant::now()));
        Self { extension, bucket, counters }
    }

    /// Name and hash of the version whose lines these are.
    pub(crate) fn extension(&self) -> &Arc<str> {
        &self.extension
    }

    /// Writes a line that a guest says in a hook.
    pub(crate) fn write(
        &self,
        level: Level,
        hook: &'static str,
        text: &str,
        fields: &[(String, String)],
    ) {
        if !enabled(level) {
            return;
        }
        let bytes = text.len() + fields.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
        let taken = self
            .bucket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(bytes.min(MAX_LINE_BYTES), Instant::now());
        if !taken {
            self.counters.log_dropped.count();
            return;
        }
        let text = printable(text, MAX_LINE_BYTES);
        let fields = render(fields, MAX_LINE_BYTES.saturating_sub(text.len()));
        self.emit(level, hook, &text, &fields);
    }

    fn emit(&self, level: Level, hook: &'static str, text: &str, fields: &str) {
        let extension = &*self.extension;
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(target: "portcullis::extension", Level::$level, extension, hook, text, fields, "extension says")
            };
        }
        match level {
            Level::TRACE => event!(TRACE),
            Level::DEBUG => event!(DEBUG),
            Level::INFO => event!(INFO),
            Level::WARN => event!(WARN),
            _ => event!(ERROR),
        }
    }
}

/// Whether the gateway's log shows lines of this level from extensions.
pub(crate) fn enabled(level: Level) -> bool {
    match level {
        Level::TRACE => tracing::enabled!(target: "portcullis::extension", Level::TRACE),
        Level::DEBUG => tracing::enabled!(target: "portcullis::extension", Level::DEBUG),
        Level::INFO => tracing::enabled!(target: "portcullis::extension", Level::INFO),
        Level::WARN => tracing::enabled!(target: "portcullis::extension", Level::WARN),
        _ => tracing::enabled!(target: "portcullis::extension", Level::ERROR),
    }
}

/// At most `limit` bytes of `text` without anything that could move a terminal's cursor, start a line of its own
/// or turn the reading direction.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(limit));
    for c in text.chars() {
        let c = if c.is_control() || turns_direction(c) { ' ' } else { c };
        if clean.len() + c.len_utf8() > limit {
            break;
        }
        clean.push(c);
    }
    clean
}

fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn render(fields: &[(String, String)], limit: usize) -> String {
    let mut line = String::new();
    for (name, value) in fields {
        if line.len() >= limit {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&printable(name, limit.saturating_sub(line.len())));
        line.push('=');
        line.push_str(&printable(value, limit.saturating_sub(line.len())));
    }
    line
}

/// Fills with `rate` bytes a second up to one second's worth.
#[derive(Debug)]
struct Bucket {
    rate: u32,
    bytes: f64,
    filled: Instant,
}

impl Bucket {
    fn full(rate: u32, now: Instant) -> Self {
        Self { rate, bytes: f64::from(rate), filled: now }
    }

    fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let rate = f64::from(self.rate);
        let passed: Duration = now.saturating_duration_since(self.filled);
        self.bytes = (self.bytes + rate * passed.as_secs_f64()).min(rate);
        self.filled = now;
        let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        let enough = bytes <= self.bytes;
        if enough {
            self.bytes -= bytes;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_gives_its_rate() {
        let t0 = Instant::now();
        let mut bucket = Bucket::full(100, t0);
        assert!(bucket.take(60, t0));
        assert!(!bucket.take(60, t0));
        assert!(bucket.take(60, t0 + Duration::from_millis(300)));
        assert!(!bucket.take(101, t0 + Duration::from_secs(60)));
    }

    #[test]
    fn text_is_cut_at_a_character_and_loses_control_characters() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{202e}", 100), "a [31m b ");
        assert_eq!(printable("äöü", 5), "äö");
    }

    #[test]
    fn fields_share_one_limit() {
        let fields = [("a".into(), "1\n2".into()), ("b".into(), "x".repeat(50))];
        let line = render(&fields, 20);
        assert!(line.starts_with("a=1 2 b=x"), "{line}");
        assert!(line.len() <= 20, "{line}");
    }
}
