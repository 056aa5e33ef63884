//! The log on standard error.

use std::error::Error;
use std::fmt;
use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use crate::Counters;
use crate::writer::{Flush, Writer};

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The least important lines of the gateway that are written. Of the libraries that it uses,
    /// no more than warnings are.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
}

/// How important a line is: a promise to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The gateway cannot do what it is there for.
    Error,
    /// Something is wrong and the gateway goes on.
    Warn,
    /// What an operator wants to know of a healthy gateway.
    Info,
    /// Each decision.
    Debug,
    /// Each packet, without its payload.
    Trace,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts to write the log to standard error.
///
/// The gateway never waits for whoever reads it: a line for which there is no room is dropped, and
/// counted in `counters` as [`DROPPED`].
///
/// Keep the guard until the process ends; dropping it writes what is still waiting.
///
/// # Errors
/// If the log has been started before, or the system has no thread for it.
pub fn init(settings: Settings, counters: &Counters) -> Result<Guard, InitError> {
    let dropped = counters.counter(DROPPED);
    let (writer, flush) =
        Writer::start("log", io::stderr(), dropped).map_err(InitError::NoThread)?;
    tracing::subscriber::set_global_default(subscriber(settings, writer))
        .map_err(|_| InitError::AlreadyStarted)?;
    Ok(Guard { _flush: flush })
}

/// The counter of log lines that were dropped because standard error was not read in time.
pub const DROPPED: &str = "portcullis_log_lines_dropped_total";

/// Writes what is still waiting when it is dropped.
#[derive(Debug)]
#[must_use = "the last lines are lost without it"]
pub struct Guard {
    _flush: Flush,
}

/// Why the log cannot be started.
#[derive(Debug)]
pub enum InitError {
    /// It has been started before.
    AlreadyStarted,
    /// The system refuses a thread.
    NoThread(io::Error),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyStarted => {
                f.write_str("the log has already been started; start it once for a process")
            }
            Self::NoThread(error) => write!(
                f,
                "the log cannot be started because the system refuses a thread ({error}); raise \
                 its limit of processes"
            ),
        }
    }
}

impl Error for InitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::AlreadyStarted => None,
            Self::NoThread(error) => Some(error),
        }
    }
}

fn subscriber<W>(settings: Settings, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = filter(settings.level);
    let targets = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target(OWN, level);
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    let lines = match settings.format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    Registry::default().with(lines.with_filter(targets))
}

/// What the names of the gateway's own crates begin with.
const OWN: &str = "portcullis";

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::writer::tests::Shared;

    fn logged(settings: Settings, act: impl FnOnce()) -> String {
        let sink = Shared::default();
        let (writer, flush) = Writer::start("log", sink.clone(), Arc::default()).unwrap();
        tracing::subscriber::with_default(subscriber(settings, writer), act);
        drop(flush);
        sink.text()
    }

    #[test]
    fn a_line_has_level_target_text_and_fields() {
        let settings = Settings { level: Level::Info, format: Format::Text };
        let text = logged(settings, || {
            tracing::info!(target: "portcullis_broker", client = "c1", "client refused");
            tracing::debug!(target: "portcullis_broker", "packet received");
        });
        let (_time, rest) = text.split_once(' ').unwrap();
        assert_eq!(rest.trim_start(), "INFO portcullis_broker: client refused client=\"c1\"\n");
    }

    #[test]
    fn libraries_are_heard_when_they_warn() {
        let settings = Settings { level: Level::Trace, format: Format::Text };
        let text = logged(settings, || {
            tracing::debug!(target: "rustls", "handshake");
            tracing::warn!(target: "rustls", "odd");
            tracing::trace!(target: "portcullis", "own");
        });
        assert_eq!(text.lines().count(), 2, "{text}");
        let settings = Settings { level: Level::Error, format: Format::Text };
        assert_eq!(logged(settings, || tracing::warn!(target: "rustls", "odd")), "");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let settings = Settings { level: Level::Info, format: Format::Json };
        let text = logged(settings, || {
            tracing::info!(target: "portcullis", client = "c\n1", code = 5, "refused");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with('{') && text.ends_with("}\n"), "{text}");
        for field in
            ["\"level\":\"INFO\"", "\"client\":\"c\\n1\"", "\"code\":5", "\"message\":\"refused\""]
        {
            assert!(text.contains(field), "{field} is not in {text}");
        }
    }

    #[test]
    fn a_client_cannot_write_lines_of_its_own() {
        let settings = Settings { level: Level::Info, format: Format::Text };
        let client = "c\n2026-01-01 INFO portcullis: all is well\r\x1b[2J";
        let text = logged(settings, || {
            tracing::info!(target: "portcullis", %client, "refused {client}");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
    }
}
