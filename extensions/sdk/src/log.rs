//! Lines in the gateway's log. Writing them needs the grant `log`.
//!
//! The text is constant and what varies is a field, so that an operator can search for it. Never put a
//! password, a token or a payload into either.
//!
//! ```no_run
//! use portcullis_extension::log;
//!
//! log::warn("key set is old", &[("age_s", &86_400), ("issuer", &"plant")]);
//! ```

use std::fmt::Display;

use crate::bindings::portcullis::host::log as host;
pub use host::Level;

/// Whether a line of this level would be written: ask before building an expensive one.
#[must_use]
pub fn enabled(level: Level) -> bool {
    host::enabled(level)
}

/// Writes a line for the author while looking for a fault.
pub fn debug(message: &'static str, fields: &[(&str, &dyn Display)]) {
    write(Level::Debug, message, fields);
}

/// Writes a line that the operator may want to read.
pub fn info(message: &'static str, fields: &[(&str, &dyn Display)]) {
    write(Level::Info, message, fields);
}

/// Writes that something is wrong and the extension goes on.
pub fn warn(message: &'static str, fields: &[(&str, &dyn Display)]) {
    write(Level::Warn, message, fields);
}

/// Writes that something is wrong and the extension cannot do its work.
pub fn error(message: &'static str, fields: &[(&str, &dyn Display)]) {
    write(Level::Error, message, fields);
}

/// Has panics written to the log. A trap says nothing of itself.
#[cfg(feature = "log-panics")]
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        // Words that were put together may hold what a client sent.
        let words = payload.downcast_ref::<&'static str>().copied().unwrap_or("words put together");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error("extension panicked", &[("place", &place), ("words", &words)]);
    }));
}

fn write(level: Level, message: &'static str, fields: &[(&str, &dyn Display)]) {
    if !host::enabled(level) {
        return;
    }
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    host::event(level, message, &fields);
}
