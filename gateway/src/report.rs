use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use broker::{Action, DropCause, Event};
use telemetry::{Sample, Sampler, SamplerSettings};
use transport::Address;
use warden::{Ban, Refusal};

use crate::decisions::Decisions;
use crate::observers::Observers;
use crate::presence::Presence;

/// Turns what happens into log lines: the text is constant, what varies is a field. What a client
/// can cause as often as it likes is sampled, per client or address.
#[derive(Debug)]
pub(crate) struct Reporter {
    started: Instant,
    /// Of what one client does.
    clients: Mutex<Sampler>,
    /// Of what strangers at one address do.
    addresses: Mutex<Sampler>,
    /// Where each decision is written, none left out, if anywhere.
    pub(crate) decisions: Option<Arc<Decisions>>,
    /// Extensions that are told everything.
    observers: Option<Arc<Observers>>,
}

/// Lines about strangers at one address that are written in ten seconds. A whole site may be
/// behind it, so there is room for many; someone who guesses passwords gets no further.
const STRANGERS_BURST: u32 = 100;

impl Reporter {
    pub(crate) fn new(decisions: Option<Arc<Decisions>>) -> Self {
        let clients = SamplerSettings::default();
        let addresses = SamplerSettings { burst: STRANGERS_BURST, ..clients };
        Self {
            started: Instant::now(),
            clients: Mutex::new(Sampler::new(clients)),
            addresses: Mutex::new(Sampler::new(addresses)),
            decisions,
            observers: None,
        }
    }

    /// The same, which tells extensions too.
    pub(crate) fn telling(self, observers: Option<Arc<Observers>>) -> Self {
        Self { observers, ..self }
    }

    /// Events that could not be told to extensions.
    pub(crate) fn missed(&self) -> u64 {
        self.observers.as_ref().map_or(0, |observers| observers.missed())
    }

    /// Reports what happened in the broker, to a client that came in as `presence` says.
    pub(crate) fn event(&self, event: &Event, presence: Option<&Presence>) {
        if let Some(decisions) = &self.decisions {
            decisions.event(event, presence);
        }
        if let Some(observers) = &self.observers {
            observers.note(event);
        }
        match event {
            Event::Connected { client_id, principal, session_present, durable } => tracing::debug!(
                client = &**client_id,
                principal = &**principal,
                session_present,
                durable,
                "session attached"
            ),
            Event::Reauthenticated { client_id, .. } => {
                tracing::info!(client = &**client_id, "client authenticated again");
            }
            Event::PermissionsReplaced { client_id, .. } => {
                tracing::info!(client = &**client_id, "client has other permissions");
            }
            Event::Disconnected { client_id, closing, .. } => tracing::info!(
                client = &**client_id,
                code = closing.code.as_u8(),
                why = closing.why,
                "client disconnected"
            ),
            Event::Denied { client_id, principal, action, topic, decision, .. } => {
                let Some(suppressed) = self.sample(&self.clients, "denied", client_id) else {
                    return;
                };
                tracing::info!(
                    client = &**client_id,
                    principal = &**principal,
                    action = action_name(*action),
                    topic = &**topic,
                    decision = decision.why,
                    suppressed,
                    "client denied"
                );
            }
            Event::Dropped { client_id, cause, .. } => {
                let Some(suppressed) = self.sample(&self.clients, "dropped", client_id) else {
                    return;
                };
                let cause = cause_name(*cause);
                tracing::warn!(client = &**client_id, cause, suppressed, "message dropped");
            }
            Event::SessionExpired { client_id, messages, .. } => {
                tracing::info!(client = &**client_id, messages, "session ended");
            }
            // They are for observers.
            Event::Subscribed { .. } | Event::Unsubscribed { .. } => {}
        }
    }

    /// Reports a connection that ended before its CONNECT was decided about.
    pub(crate) fn turned_away(&self, listener: &str, peer: &Address, why: &str) {
        let address = peer.host();
        let Some(suppressed) = self.sample(&self.addresses, "turned away", &address) else {
            return;
        };
        tracing::info!(listener, peer = address, why, suppressed, "connection turned away");
    }

    /// Reports a connection that was refused before anything of it was read. Sampled by the cause and not by the address:
    /// many addresses are what a flood has.
    pub(crate) fn kept_out(&self, listener: &str, peer: &Address, refusal: &Refusal) {
        let Some(suppressed) = self.sample(&self.clients, "kept out", refusal.label()) else {
            return;
        };
        let (peer, why) = (peer.host(), refusal.to_string());
        tracing::info!(listener, peer, why, suppressed, "connection kept out");
    }

    /// Reports a ban that a rule has made.
    pub(crate) fn banned(&self, ban: &Ban) {
        if let Some(suppressed) = self.sample(&self.clients, "banned", "by a rule") {
            let (whom, until_ms) = (&ban.whom, ban.until_unix_ms);
            tracing::warn!(%whom, until_ms, why = ban.reason, suppressed, "banned");
        }
    }

    /// Reports what an extension wanted done and could not be.
    pub(crate) fn order_undone(&self, extension: &str, why: &str) {
        if let Some(suppressed) = self.sample(&self.clients, "order", extension) {
            tracing::warn!(extension, why, suppressed, "order of an extension came to nothing");
        }
    }

    /// Whether a refusal of a client at `peer` is to be written, and how many were left out.
    pub(crate) fn refusal(&self, peer: &Address) -> Option<u64> {
        self.sample(&self.addresses, "refused", &peer.host())
    }

    fn sample(&self, sampler: &Mutex<Sampler>, what: &str, key: &str) -> Option<u64> {
        let mut sampler = sampler.lock().unwrap_or_else(PoisonError::into_inner);
        let now: Duration = self.started.elapsed();
        match sampler.sample(&format!("{what} {key}"), now) {
            Sample::Write { suppressed } => Some(suppressed),
            Sample::Suppress => None,
        }
    }
}

pub(crate) fn action_name(action: Action) -> &'static str {
    match action {
        Action::Publish => "publish",
        Action::Subscribe => "subscribe",
        Action::Will => "will",
        Action::Receive => "receive",
    }
}

pub(crate) fn cause_name(cause: DropCause) -> &'static str {
    match cause {
        DropCause::QueueFull => "queue full",
        DropCause::Replaced => "replaced by a later value",
        DropCause::Damaged => "damaged on disk",
        DropCause::TooLarge => "larger than the client accepts",
        DropCause::Expired => "expired",
        DropCause::Denied => "not permitted any more",
        DropCause::NotReviewed => "its interceptor failed",
    }
}
