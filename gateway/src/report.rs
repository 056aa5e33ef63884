use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use broker::{Action, DropCause, Event};
use telemetry::{Sample, Sampler, SamplerSettings};

/// Turns what happens into log lines: the text is constant, what varies is a field. What a client
/// can cause as often as it likes is sampled, per client or address.
#[derive(Debug)]
pub(crate) struct Reporter {
    started: Instant,
    sampler: Mutex<Sampler>,
}

impl Reporter {
    pub(crate) fn new() -> Self {
        let sampler = Mutex::new(Sampler::new(SamplerSettings::default()));
        Self { started: Instant::now(), sampler }
    }

    /// Reports what happened in the broker.
    pub(crate) fn event(&self, event: &Event) {
        match event {
            Event::Connected { client_id, principal, session_present, durable } => tracing::debug!(
                client = &**client_id,
                principal = &**principal,
                session_present,
                durable,
                "session attached"
            ),
            Event::Disconnected { client_id, closing } => tracing::info!(
                client = &**client_id,
                code = closing.code.as_u8(),
                why = closing.why,
                "client disconnected"
            ),
            Event::Denied { client_id, principal, action, topic, decision } => {
                let Some(suppressed) = self.sample("denied", client_id) else { return };
                tracing::info!(
                    client = &**client_id,
                    principal = &**principal,
                    action = action_name(*action),
                    topic = &**topic,
                    decision,
                    suppressed,
                    "client denied"
                );
            }
            Event::Dropped { client_id, cause } => {
                let Some(suppressed) = self.sample("dropped", client_id) else { return };
                let cause = cause_name(*cause);
                tracing::warn!(client = &**client_id, cause, suppressed, "message dropped");
            }
            Event::SessionExpired { client_id, messages } => {
                tracing::info!(client = &**client_id, messages, "session ended");
            }
        }
    }

    /// Reports a connection that ended before its CONNECT was decided about.
    pub(crate) fn turned_away(&self, listener: &str, peer: IpAddr, why: &str) {
        let address = peer.to_string();
        let Some(suppressed) = self.sample("turned away", &address) else { return };
        tracing::info!(listener, peer = address, why, suppressed, "connection turned away");
    }

    /// Whether a line about `key` is to be written, and how many were left out before it.
    pub(crate) fn sample(&self, what: &str, key: &str) -> Option<u64> {
        let mut sampler = self.sampler.lock().unwrap_or_else(PoisonError::into_inner);
        let now: Duration = self.started.elapsed();
        match sampler.sample(&format!("{what} {key}"), now) {
            Sample::Write { suppressed } => Some(suppressed),
            Sample::Suppress => None,
        }
    }
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Publish => "publish",
        Action::Subscribe => "subscribe",
        Action::Will => "will",
        Action::Receive => "receive",
    }
}

fn cause_name(cause: DropCause) -> &'static str {
    match cause {
        DropCause::QueueFull => "queue full",
        DropCause::OutboxFull => "connection too slow",
        DropCause::TooLarge => "larger than the client accepts",
        DropCause::Expired => "expired",
        DropCause::Denied => "not permitted any more",
    }
}
