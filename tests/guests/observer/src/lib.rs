//! For tests of the gateway, and not to be used for anything else: publishes each event that it observes to a topic of its kind, as lines
//! `name=value`: a number that counts them since the beginning, how many were missed before, client, principal, and the details.
//! The numbers go on when the settings change.
//!
//! Configuration: `prefix`, the levels of the topics before the kind; `fail`, whether it reports an error in the place of that.
//!
//! Grants: `broker` with `publish`, `config`, `log`.

use std::cell::Cell;
use std::fmt::Write as _;

use portcullis_extension::{Config, Event, Extension, HookError, Observer, Reconfigure, broker};

struct Publisher {
    settings: Settings,
    told: Cell<u64>,
}

struct Settings {
    prefix: String,
    fail: bool,
}

impl Settings {
    fn read(config: &Config) -> Result<Self, String> {
        config.allow_only(&["prefix", "fail"])?;
        Ok(Self { prefix: config.require("prefix")?, fail: config.flag("fail", false)? })
    }
}

impl Extension for Publisher {
    fn start(config: &Config) -> Result<Self, String> {
        Ok(Self { settings: Settings::read(config)?, told: Cell::new(0) })
    }
}

impl Reconfigure for Publisher {
    fn reconfigure(&mut self, config: &Config) -> Result<(), String> {
        self.settings = Settings::read(config)?;
        Ok(())
    }
}

impl Observer for Publisher {
    fn on_events(&self, events: &[Event], missed: u64) -> Result<(), HookError> {
        if self.settings.fail {
            return Err(HookError::Unavailable("the settings say so".to_owned()));
        }
        let mut missed = missed;
        for event in events {
            self.told.set(self.told.get() + 1);
            let text = lines(event, self.told.get(), std::mem::take(&mut missed));
            let topic = format!("{}/{}", self.settings.prefix, event.kind);
            broker::publish(broker::Message::new(topic, text))?;
        }
        Ok(())
    }
}

portcullis_extension::register!(Publisher);

fn lines(event: &Event, number: u64, missed: u64) -> String {
    let principal = event.principal.as_deref().unwrap_or("-");
    let mut text = format!(
        "number={number}\nmissed={missed}\nat-ms={}\nclient={}\nprincipal={principal}\n",
        event.at_ms, event.client_id
    );
    for (name, value) in &event.details {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_for_each_of_its_parts() {
        let event = Event {
            at_ms: 7,
            client_id: "c1".to_owned(),
            principal: Some("p1".to_owned()),
            kind: "subscribed".to_owned(),
            details: vec![("filter".to_owned(), "a/#".to_owned())],
        };
        assert_eq!(
            lines(&event, 3, 0),
            "number=3\nmissed=0\nat-ms=7\nclient=c1\nprincipal=p1\nfilter=a/#\n"
        );
    }
}
