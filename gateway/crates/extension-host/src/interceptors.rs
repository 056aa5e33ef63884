//! The interceptors and the observer of one generation as the gateway asks them.

use std::sync::Arc;

use wasmtime::Store;

use crate::answer::Failure;
use crate::ask::{Called, Hook};
use crate::bindings::exports::portcullis::gateway::observer;
use crate::bindings::portcullis::gateway::interception;
use crate::connecting::Connecting;
use crate::convert;
use crate::generation::Generation;
use crate::guest::{Guest, Subject};
use crate::instance::BoundHooks;
use crate::interception::{DeliveryAction, Intercepted, Interest, PublishAction};
use crate::observation::Observed;
use crate::questions::{client, handle, hook_error, subject};
use crate::tape::Tape;

/// A message before an interceptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exhibit<'a> {
    pub(crate) message: &'a Intercepted<'a>,
    /// Bytes of the whole payload, of which the message may have the beginning only.
    pub(crate) payload_size: usize,
}

impl<'a> Exhibit<'a> {
    /// A message with its whole payload.
    pub(crate) fn of(message: &'a Intercepted<'a>) -> Self {
        Self { message, payload_size: message.payload.len() }
    }

    /// What of it an interceptor is given that wants to see so many bytes of payload.
    fn shown(self, payload_bytes: usize) -> interception::Message<'a> {
        let message = self.message;
        interception::Message {
            topic: message.topic,
            qos: convert::qos(message.qos),
            retain: message.retain,
            payload: message.payload.get(..payload_bytes).unwrap_or(message.payload),
            payload_size: u32::try_from(self.payload_size).unwrap_or(u32::MAX),
            content_type: message.content_type,
            response_topic: message.response_topic,
            correlation_data: message.correlation_data,
            user_properties: &message.user_properties,
            expiry_seconds: message.expiry_seconds,
        }
    }
}

impl Generation {
    /// Asks what becomes of a publish. It passes where the guest has no interest in it.
    pub(crate) fn intercept_publish(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
        what: Exhibit<'_>,
        tape: Option<&Tape>,
    ) -> Result<PublishAction, Failure> {
        if !self.wants_publish(what.message.topic) {
            return Ok(PublishAction::Pass);
        }
        let subject = subject(who, connection, tape);
        self.ask(Hook::InterceptPublish, connection, 0, subject, |hooks, store| {
            self.call_on_publish(hooks, store, who, connection, what)
        })
    }

    /// Asks what becomes of a message for one client. It passes where the guest has no interest in it.
    pub(crate) fn intercept_delivery(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
        what: Exhibit<'_>,
        tape: Option<&Tape>,
    ) -> Result<DeliveryAction, Failure> {
        if !self.wants_delivery(what.message.topic) {
            return Ok(DeliveryAction::Pass);
        }
        let subject = subject(who, connection, tape);
        self.ask(Hook::InterceptDelivery, connection, 0, subject, |hooks, store| {
            self.call_on_delivery(hooks, store, who, connection, what)
        })
    }

    pub(crate) fn wants_publish(&self, topic: &str) -> bool {
        wants(self.pool.interests().publish.as_deref(), topic)
    }

    pub(crate) fn wants_delivery(&self, topic: &str) -> bool {
        wants(self.pool.interests().delivery.as_deref(), topic)
    }

    pub(crate) fn call_on_publish(
        &self,
        hooks: &BoundHooks,
        store: &mut Store<Guest>,
        who: &Arc<auth::Identity>,
        connection: &Connecting,
        what: Exhibit<'_>,
    ) -> Called<PublishAction> {
        let shown = what.shown(self.pool.interests().publish.as_ref()?.payload_bytes);
        let guest = hooks.publish_interceptor.as_ref()?;
        let client = client(connection, Some(who));
        let result = guest.call_on_publish(store, client, handle(), shown);
        Some(result.map(|answer| {
            let given = answer.map_err(hook_error)?;
            convert::publish_action(given).map_err(Failure::InvalidAnswer)
        }))
    }

    pub(crate) fn call_on_delivery(
        &self,
        hooks: &BoundHooks,
        store: &mut Store<Guest>,
        who: &Arc<auth::Identity>,
        connection: &Connecting,
        what: Exhibit<'_>,
    ) -> Called<DeliveryAction> {
        let shown = what.shown(self.pool.interests().delivery.as_ref()?.payload_bytes);
        let guest = hooks.delivery_interceptor.as_ref()?;
        let client = client(connection, Some(who));
        let result = guest.call_on_delivery(store, client, handle(), shown);
        Some(result.map(|answer| {
            let given = answer.map_err(hook_error)?;
            convert::delivery_action(given).map_err(Failure::InvalidAnswer)
        }))
    }

    /// Tells what happened. `missed` is how much was left out before it.
    pub(crate) fn observe(&self, events: &[Observed<'_>], missed: u64) -> Result<(), Failure> {
        let events: Vec<_> = events
            .iter()
            .map(|event| observer::Event {
                at_ms: event.at_ms,
                client_id: event.client_id,
                principal: event.principal,
                kind: event.kind,
                details: &event.details,
            })
            .collect();
        self.put(Hook::Observe, Subject::default(), |hooks, store| {
            let result = hooks.observer.as_ref()?.call_on_events(store, &events, missed);
            Some(result.map(|answer| answer.map_err(hook_error)))
        })
    }
}

fn wants(interest: Option<&Interest>, topic: &str) -> bool {
    interest.is_some_and(|interest| interest.matches(topic))
}
