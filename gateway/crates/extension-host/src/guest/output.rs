//! What a guest writes to its standard output and error: lines of the gateway's log.

use tracing::Level;

use super::Guest;

/// Bytes of a line at most; what is longer becomes several.
const LINE_BYTES: usize = 1 << 10;

/// A stream that a guest writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    /// Where run-times say why they trap.
    Err,
}

impl Guest {
    /// Takes what a guest writes; whole lines are logged at once.
    pub(crate) fn print(&mut self, stream: Stream, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = self.line(stream);
            let room = LINE_BYTES.saturating_sub(line.len());
            line.extend(part.iter().take(room));
            if part.ends_with(b"\n") || line.len() >= LINE_BYTES {
                self.end_line(stream);
            }
        }
    }

    /// Logs what was written without an end of the line.
    pub(crate) fn flush_output(&mut self) {
        self.end_line(Stream::Out);
        self.end_line(Stream::Err);
    }

    fn line(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Out => &mut self.stdout,
            Stream::Err => &mut self.stderr,
        }
    }

    fn end_line(&mut self, stream: Stream) {
        let line = std::mem::take(self.line(stream));
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        let (level, name) = match stream {
            Stream::Out => (Level::INFO, "stdout"),
            Stream::Err => (Level::WARN, "stderr"),
        };
        let fields = [("stream".into(), name.into())];
        self.services.log.write(level, self.hook, text, &fields);
    }
}
