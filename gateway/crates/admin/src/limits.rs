//! What a client of the socket may cost.

use std::time::Duration;

/// Bytes of the first line and the headers of a request at most; more is answered with 431.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Headers of a request at most; more is answered with 431.
pub(crate) const HEADERS_MAX: usize = 64;

/// What the clients of a socket may cost, all of them and each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. Whoever comes on top waits in the queue of the kernel.
    pub connections: usize,
    /// Bytes of a request's body; more is answered with 413.
    pub body_bytes: usize,
    /// Time for the head of a request; a client that is slower is cut off.
    pub head_time: Duration,
    /// Time for the body of a request; a client that is slower is answered with 408.
    pub body_time: Duration,
    /// Time for the handler; what takes longer is given up and answered with 504.
    pub answer_time: Duration,
    /// Time for the client to take its answer; a client that is slower is cut off.
    pub write_time: Duration,
}

impl Default for Limits {
    /// Enough for people and scripts: 16 connections, 64 KiB, 5 s for each part that the client has to do, 120 s for
    /// the handler.
    fn default() -> Self {
        Self {
            connections: 16,
            body_bytes: 64 * 1024,
            head_time: Duration::from_secs(5),
            body_time: Duration::from_secs(5),
            answer_time: Duration::from_secs(120),
            write_time: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// How long a connection lasts at most, whatever its client does.
    pub(crate) fn connection_time(&self) -> Duration {
        self.head_time
            .saturating_add(self.body_time)
            .saturating_add(self.answer_time)
            .saturating_add(self.write_time)
    }
}
