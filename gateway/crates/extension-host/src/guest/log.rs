//! `portcullis:host/log`

use tracing::Level;

use super::Guest;
use crate::bindings::portcullis::host::log;
use crate::log::enabled;

impl log::Host for Guest {
    fn enabled(&mut self, level: log::Level) -> bool {
        enabled(tracing_level(level))
    }

    fn event(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) {
        self.services.log.write(tracing_level(level), self.hook, &message, &fields);
    }
}

fn tracing_level(level: log::Level) -> Level {
    match level {
        log::Level::Trace => Level::TRACE,
        log::Level::Debug => Level::DEBUG,
        log::Level::Info => Level::INFO,
        log::Level::Warn => Level::WARN,
        log::Level::Error => Level::ERROR,
    }
}
