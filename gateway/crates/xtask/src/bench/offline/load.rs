use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::bench::brokers::{Broker, PASSWORD, Transport, USER};
use crate::command::output;
use crate::failure::Failure;

/// Bytes of each payload.
pub(super) const PAYLOAD: u32 = 256;

/// How long the load generator waits before it fills the queue, and again before it drains it.
pub(super) const SETTLE: Duration = Duration::from_secs(1);

/// A queue filled for an absent session by some publishers, and drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    pub(crate) messages: u32,
    pub(crate) publishers: u32,
    /// Messages per second of all of them; as fast as it goes if nothing is said.
    pub(crate) rate: Option<u32>,
}

/// What the load generator saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seen {
    pub(crate) filled_per_s: f64,
    pub(crate) filled_s: f64,
    pub(crate) drained_per_s: f64,
    /// From PUBLISH to PUBACK.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of the broker, in bytes.
    pub(crate) rss_before: f64,
    pub(crate) rss_full: f64,
    pub(crate) rss_after: f64,
}

impl Load {
    pub(crate) const fn payload_bytes(self) -> f64 {
        self.messages as f64 * PAYLOAD as f64
    }

    /// Runs it on `broker`.
    pub(crate) fn run(self, mqload: &Path, broker: &Broker) -> Result<Seen, Failure> {
        let mut command = Command::new(mqload);
        command.args(["offline", "--qos", "1", "--size", &PAYLOAD.to_string()]);
        command.args(["--count", &self.messages.to_string()]);
        command.args(["--pubs", &self.publishers.to_string()]);
        command.args(["--settle", &SETTLE.as_secs().to_string()]);
        if let Some(rate) = self.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        // Long enough for a broker that writes a million messages down while it does nothing else.
        command.args(["--idle", "30", "--deadline", "1800"]);
        command.args(["--pid", &broker.pid().to_string(), "--url", &broker.url(Transport::Tcp)]);
        command.args(["--username", USER, "--password", PASSWORD]);
        Seen::from_output(&output(&mut command)?)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages from {}", self.messages, self.publishers)?;
        self.rate.map_or(Ok(()), |rate| write!(f, " at {rate}/s"))
    }
}

impl Seen {
    /// Reads the JSON object on the last line. A run in which messages were lost or refused is none.
    fn from_output(text: &str) -> Result<Self, Failure> {
        let line = text.lines().last().unwrap_or_default();
        let json: Value = serde_json::from_str(line).map_err(|error| {
            Failure::Other(format!("the last line of mqload is no JSON ({error}): {line}"))
        })?;
        let number = |pointer: &str| {
            json.pointer(pointer).and_then(Value::as_f64).ok_or_else(|| {
                Failure::Other(format!("mqload's report has no number {pointer}: {line}"))
            })
        };
        for fault in ["/lost", "/acked_lost", "/refused", "/dups", "/out_of_order"] {
            if number(fault)? > 0.0 {
                return Err(Failure::Other(format!(
                    "mqload reports messages as {}: {line}",
                    fault.trim_start_matches('/')
                )));
            }
        }
        let kib = |pointer| number(pointer).map(|kib| kib * 1024.0);
        Ok(Self {
            filled_per_s: number("/enqueue_per_s")?,
            filled_s: number("/enqueue_s")?,
            drained_per_s: number("/drain_per_s")?,
            p50_us: number("/ack_us/p50")?,
            p99_us: number("/ack_us/p99")?,
            rss_before: kib("/rss_before_kb")?,
            rss_full: kib("/rss_queued_kb")?,
            rss_after: kib("/rss_after_kb")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"refused":0,"enqueue_s":2.5,"enqueue_per_s":40000.0,"ack_us":{"p50":900.0,"p99":2000.0},"drain_per_s":80000.0,"lost":0,"acked_lost":0,"dups":0,"out_of_order":0,"rss_before_kb":1,"rss_queued_kb":2,"rss_after_kb":3}"#;

    #[test]
    fn the_last_line_is_what_was_seen() {
        let seen = Seen::from_output(&format!("for people\n{LINE}")).unwrap();
        assert_eq!((seen.filled_per_s, seen.p99_us), (40000.0, 2000.0));
        assert_eq!((seen.rss_before, seen.rss_after), (1024.0, 3072.0));
    }

    #[test]
    fn a_run_that_lost_something_is_none() {
        for fault in ["\"lost\"", "\"acked_lost\"", "\"refused\"", "\"out_of_order\""] {
            let line = LINE.replace(&format!("{fault}:0"), &format!("{fault}:1"));
            assert!(Seen::from_output(&line).is_err(), "{fault}");
        }
    }
}
