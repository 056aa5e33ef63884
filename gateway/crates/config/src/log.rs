//! `[log]`: what the gateway says.

use crate::section::Section;

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important lines that are written.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

const LEVELS: [(&str, Level); 5] = [
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

pub(crate) fn read(root: &Section<'_>) -> Log {
    let section = root.section("log");
    let formats = [("text", Format::Text), ("json", Format::Json)];
    let log = Log {
        level: section.choice("level", Level::Info, &LEVELS),
        format: section.choice("format", Format::Text, &formats),
    };
    section.finish();
    log
}
