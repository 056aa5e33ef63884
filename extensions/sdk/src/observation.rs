//! What happens, as it is told to those who watch.
#![cfg(feature = "observer")]

use crate::{Event, Extension, HookError};

/// Watches what happens. Nothing waits for it, and it changes nothing. The operator names it in `observers` of gateway.toml.
pub trait Observer: Extension {
    /// Called soon after the events, with 1 to 256 in their order. `missed` is how many were left out before these, because
    /// more happened than could be told.
    ///
    /// # Errors
    /// When the hook could not do its work. It is logged and counted; the events are not told again.
    fn on_events(&self, events: &[Event], missed: u64) -> Result<(), HookError>;
}

impl Event {
    /// The value of a detail; none where this kind of event does not have it.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<&str> {
        let found = self.details.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_found_by_their_names() {
        let event = Event {
            at_ms: 0,
            client_id: "c1".to_owned(),
            principal: None,
            kind: "subscribed".to_owned(),
            details: vec![
                ("filter".to_owned(), "a/#".to_owned()),
                ("qos".to_owned(), "1".to_owned()),
            ],
        };
        assert_eq!((event.detail("qos"), event.detail("filter")), (Some("1"), Some("a/#")));
        assert_eq!(event.detail("code"), None);
    }
}
