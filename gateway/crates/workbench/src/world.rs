//! An extension in a world of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::fixture::{Event, Opinion};
use extension_host::{Extension, Facilities, Keyring, LoadError, Nature, Observed, Prepared};

use crate::nature::Staged;
use crate::questions::Answer;
use crate::scripted::Scripted;
use crate::visit::Visit;

/// An extension, and all that it reaches.
pub(crate) struct World {
    /// Or why it did not start.
    pub(crate) extension: Result<Extension, LoadError>,
    pub(crate) nature: Arc<Staged>,
    pub(crate) scripted: Scripted,
    settings: BTreeMap<String, String>,
    keyring: Arc<Keyring>,
    facilities: Facilities,
}

impl World {
    /// Starts the extension.
    pub(crate) fn begin(
        prepared: &Prepared,
        settings: BTreeMap<String, String>,
        keyring: Arc<Keyring>,
        (scripted, facilities): (Scripted, Facilities),
        nature: Arc<Staged>,
    ) -> Self {
        let extension = prepared.start(
            settings.clone(),
            Arc::clone(&keyring),
            facilities.clone(),
            Arc::clone(&nature) as _,
        );
        Self { extension, nature, scripted, settings, keyring, facilities }
    }

    /// Gives the extension other settings, besides those that it started with or instead of them.
    pub(crate) fn reconfigure(
        &self,
        extension: &Extension,
        others: &BTreeMap<String, String>,
    ) -> Answer {
        let mut settings = self.settings.clone();
        settings.extend(others.clone());
        let keyring = Arc::clone(&self.keyring);
        match extension.reconfigure(settings, keyring, self.facilities.clone()) {
            Ok(()) => Answer::treated(Opinion::Taken),
            Err(error) => Answer::refused(0, why(&error)),
        }
    }

    /// Tells the extension what happened, now, to the client of a case and to others.
    pub(crate) fn observe(&self, visit: &Visit<'_>, events: &[Event], missed: u64) -> Answer {
        let at_ms = u64::try_from(self.nature.now().as_millis()).unwrap_or(u64::MAX);
        let principal = visit.standing.as_ref().map(|standing| &*standing.identity.principal);
        let client = &*visit.connecting.client_id;
        let observed: Vec<_> =
            events.iter().map(|event| observed(event, at_ms, client, principal)).collect();
        match visit.extension.observe(&observed, missed).result {
            Ok(()) => Answer::treated(Opinion::Taken),
            Err(failure) => Answer::fail(&failure),
        }
    }
}

/// An event as the extension is told it, of this client if it names no other.
fn observed<'a>(
    event: &'a Event,
    at_ms: u64,
    client: &'a str,
    principal: Option<&'a str>,
) -> Observed<'a> {
    let principal = principal.filter(|_| event.client_id.is_none());
    Observed {
        at_ms,
        client_id: event.client_id.as_deref().unwrap_or(client),
        principal: event.principal.as_deref().or(principal),
        kind: &event.kind,
        details: event.details.iter().map(|(name, value)| (&**name, &**value)).collect(),
    }
}

/// The guest's words where it refuses its settings.
pub(crate) fn why(error: &LoadError) -> String {
    match error {
        LoadError::InitFailed { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}
