//! The hooks of one generation as the gateway asks them.

use std::sync::Arc;

use mqtt::PacketKind;
use wasmtime::Store;
use wasmtime::component::Resource;

use crate::answer::{
    AuthenticationOutcome, Continuation, Failure, Progress, Publication, Step, SubscriptionRequest,
    Verdict, Verdicts,
};
use crate::ask::{Called, Hook};
use crate::bindings::exports::portcullis::gateway::{
    authenticator, authorizer, bulk_authorizer, enhanced_authenticator,
};
use crate::bindings::portcullis::gateway::types;
use crate::connecting::Connecting;
use crate::convert;
use crate::generation::Generation;
use crate::guest::{ConnectionHandle, Guest, Subject};
use crate::instance::BoundHooks;
use crate::tape::Tape;

impl Generation {
    /// Asks who a client is.
    pub(crate) fn authenticate(
        &self,
        connection: &Arc<Connecting>,
        secret: Option<&[u8]>,
        tape: Option<&Tape>,
    ) -> Result<AuthenticationOutcome, Failure> {
        let subject = Subject {
            connection: Some(Arc::clone(connection)),
            identity: None,
            tape: tape.cloned(),
        };
        let client = client(connection, None);
        self.ask(Hook::Authenticate, connection, secret.map_or(0, <[u8]>::len), subject, |h, s| {
            let secret = match secret {
                None => authenticator::Secret::None,
                Some(bytes) => authenticator::Secret::Password(bytes),
            };
            let guest = h.authenticator.as_ref()?;
            let result = guest.call_authenticate(s, client, handle(), secret);
            Some(result.map(|answer| {
                answer
                    .map_err(hook_error)
                    .and_then(|o| convert::outcome(o, &self.id).map_err(Failure::InvalidAnswer))
                    .and_then(|outcome| {
                        if let AuthenticationOutcome::Accept(grant) = &outcome {
                            grant
                                .permissions
                                .as_ref()
                                .map_or(Ok(()), |p| self.check_rules(p))
                                .map_err(Failure::InvalidAnswer)?;
                        }
                        Ok(outcome)
                    })
            }))
        })
    }

    /// Has one step of enhanced authentication taken. `who` is the identity of a client that is
    /// connected and authenticates again.
    pub(crate) fn step(
        self: &Arc<Self>,
        who: Option<&Arc<auth::Identity>>,
        connection: &Arc<Connecting>,
        step: Step<'_>,
    ) -> Result<Progress, Failure> {
        let subject = Subject {
            connection: Some(Arc::clone(connection)),
            identity: who.map(Arc::clone),
            tape: None,
        };
        let client = client(connection, who);
        let said = enhanced_authenticator::Exchange {
            method: step.method,
            data: step.data,
            state: step.state.map(Continuation::state),
            re_authentication: who.is_some(),
        };
        let data_bytes = step.data.map_or(0, <[u8]>::len);
        let hook = if who.is_some() { Hook::StepAgain } else { Hook::Step };
        self.ask(hook, connection, data_bytes, subject, |h, s| {
            let result = h.enhanced_authenticator.as_ref()?.call_step(s, client, handle(), said);
            Some(result.map(|answer| {
                let progress = convert::progress(answer.map_err(hook_error)?, who.is_some(), self)
                    .map_err(Failure::InvalidAnswer)?;
                if let Progress::Accept { grant, .. } = &progress {
                    grant
                        .permissions
                        .as_ref()
                        .map_or(Ok(()), |p| self.check_rules(p))
                        .map_err(Failure::InvalidAnswer)?;
                }
                Ok(progress)
            }))
        })
    }

    /// Asks what a client may do. None abstains.
    pub(crate) fn permissions(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
        tape: Option<&Tape>,
    ) -> Result<Option<auth::Permissions>, Failure> {
        let client = client(connection, Some(who));
        self.ask(Hook::Permissions, connection, 0, subject(who, connection, tape), |h, s| {
            let result = h.authorizer.as_ref()?.call_permissions(s, client, handle());
            Some(result.map(|answer| {
                let given = answer.map_err(hook_error)?;
                let given = given.map(|p| convert::permissions(p, &self.id));
                given
                    .as_ref()
                    .map_or(Ok(()), |p| self.check_rules(p))
                    .map_err(Failure::InvalidAnswer)?;
                Ok(given)
            }))
        })
    }

    /// Asks how much a client may do.
    pub(crate) fn client_limits(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
        tape: Option<&Tape>,
    ) -> Result<auth::Limits, Failure> {
        let client = client(connection, Some(who));
        self.ask(Hook::Limits, connection, 0, subject(who, connection, tape), |h, s| {
            let result = h.client_limits.as_ref()?.call_limit(s, client, handle());
            Some(result.map(|answer| {
                convert::limits(&answer.map_err(hook_error)?).map_err(Failure::InvalidAnswer)
            }))
        })
    }

    /// Asks about a publish that the permission set leaves to the extension.
    pub(crate) fn authorize_publish(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
        what: &Publication<'_>,
        tape: Option<&Tape>,
    ) -> Result<Verdict, Failure> {
        let subject = subject(who, connection, tape);
        self.ask(Hook::Authorize, connection, 0, subject, |hooks, store| {
            self.call_authorize_publish(hooks, store, who, connection, what)
        })
    }

    pub(crate) fn call_authorize_publish(
        &self,
        hooks: &BoundHooks,
        store: &mut Store<Guest>,
        who: &Arc<auth::Identity>,
        connection: &Connecting,
        what: &Publication<'_>,
    ) -> Called<Verdict> {
        let client = client(connection, Some(who));
        let guest = hooks.authorizer.as_ref()?;
        let result = guest.call_authorize_publish(store, client, handle(), publication(what));
        Some(result.map(|answer| {
            let given = answer.map_err(hook_error)?;
            convert::verdict(given, PacketKind::PubAck, self.limits.verdict_ttl)
                .map_err(Failure::InvalidAnswer)
        }))
    }

    pub(crate) fn call_authorize_publishes(
        &self,
        hooks: &BoundHooks,
        store: &mut Store<Guest>,
        who: &Arc<auth::Identity>,
        connection: &Connecting,
        what: &[Publication<'_>],
    ) -> Called<Verdicts> {
        let client = client(connection, Some(who));
        let what: Vec<_> = what.iter().map(publication).collect();
        let guest = hooks.batch_authorizer.as_ref()?;
        let result = guest.call_authorize_publishes(store, client, handle(), &what);
        Some(result.map(|answer| {
            let given = answer.map_err(hook_error)?;
            convert::publish_verdicts(given, what.len(), self.limits.verdict_ttl)
                .map(Verdicts::Each)
                .map_err(Failure::InvalidAnswer)
        }))
    }

    pub(crate) fn call_authorize_publications(
        &self,
        hooks: &BoundHooks,
        store: &mut Store<Guest>,
        what: &[Publication<'_>],
    ) -> Called<Verdicts> {
        let mut topics = String::with_capacity(what.iter().map(|one| one.topic.len()).sum());
        let mut each = Vec::with_capacity(what.len());
        for one in what {
            topics.push_str(one.topic);
            let Ok(end) = u32::try_from(topics.len()) else {
                let why = "topics of 4 GiB, which is more than a guest can hold".to_owned();
                return Some(Ok(Err(Failure::Internal(why))));
            };
            let (payload_size, qos, retain) = (one.payload_len, convert::qos(one.qos), one.retain);
            each.push(bulk_authorizer::Mark { end, payload_size, qos, retain });
        }
        let guest = hooks.bulk_authorizer.as_ref()?;
        let asked = bulk_authorizer::Publications { topics: &topics, each: &each };
        let result = guest.call_authorize_publications(store, handle(), asked);
        Some(result.map(|answer| {
            match answer.map_err(hook_error)? {
                bulk_authorizer::Rulings::AllAllowed => Ok(Verdicts::AllAllowed),
                bulk_authorizer::Rulings::Each(given) => {
                    convert::publish_verdicts(given, what.len(), self.limits.verdict_ttl)
                        .map(Verdicts::Each)
                        .map_err(Failure::InvalidAnswer)
                }
            }
        }))
    }

    /// Asks about the entries of one SUBSCRIBE that the permission set leaves to the extension. Exactly one
    /// verdict for each entry.
    pub(crate) fn authorize_subscribe(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
        what: &[SubscriptionRequest<'_>],
        tape: Option<&Tape>,
    ) -> Result<Vec<Verdict>, Failure> {
        let client = client(connection, Some(who));
        let entries: Vec<_> = what
            .iter()
            .map(|s| authorizer::Subscription {
                filter: s.filter,
                share_group: s.share_group,
                qos: convert::qos(s.qos),
            })
            .collect();
        self.ask(Hook::Authorize, connection, 0, subject(who, connection, tape), |h, s| {
            let guest = h.authorizer.as_ref()?;
            let result = guest.call_authorize_subscribe(s, client, handle(), &entries);
            Some(result.map(|answer| {
                convert::verdicts(answer.map_err(hook_error)?, entries.len())
                    .map_err(Failure::InvalidAnswer)
            }))
        })
    }
}

fn publication<'a>(what: &Publication<'a>) -> authorizer::Publication<'a> {
    authorizer::Publication {
        topic: what.topic,
        qos: convert::qos(what.qos),
        retain: what.retain,
        payload_size: what.payload_len,
    }
}

pub(crate) fn client<'a>(
    connection: &'a Connecting,
    who: Option<&'a Arc<auth::Identity>>,
) -> types::Client<'a> {
    types::Client {
        connection_id: connection.connection_id,
        client_id: &connection.client_id,
        username: connection.username.as_deref(),
        principal: who.map(|who| &*who.principal),
    }
}

pub(crate) fn subject(
    who: &Arc<auth::Identity>,
    connection: &Arc<Connecting>,
    tape: Option<&Tape>,
) -> Subject {
    Subject {
        connection: Some(Arc::clone(connection)),
        identity: Some(Arc::clone(who)),
        tape: tape.cloned(),
    }
}

pub(crate) fn handle() -> Resource<ConnectionHandle> {
    Resource::new_borrow(0)
}

pub(crate) fn hook_error(error: types::HookError) -> Failure {
    match error {
        types::HookError::Unavailable(why) => Failure::Unavailable(convert::reason(&why)),
        types::HookError::Internal(why) => Failure::Internal(convert::reason(&why)),
    }
}
