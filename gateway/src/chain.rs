use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auth::{Grant, Identity, Limits, PermissionSet, PermissionSets};
use extension_host::{AuthenticationOutcome, Connecting, Extension};
use mqtt::ReasonCode;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::turns::Turns;

/// Calls of CONNECT's hooks that may be under way together, in all listeners. More wait, as long
/// as their connect-timeout lets them.
pub(crate) const CONNECT_CALLS_MAX: usize = 32;

/// Strangers that may wait for such a call, in all listeners. More are told at once to come again: a box that hashes
/// a hundred passwords a second would not get to them within their connect-timeout.
const STRANGERS_WAITING_MAX: usize = 1024;

/// The extensions of a listener, in the order in which they are asked.
#[derive(Clone)]
pub(crate) struct Chain {
    extensions: Arc<[Extension]>,
    office: Arc<Office>,
    /// What each client may do at most, whatever extensions say.
    limits: Arc<Limits>,
    /// As many calls as can be inside the chain's extensions together. A crowd waits here, for as
    /// long as it takes, and not for a free instance, where a wait counts as a failure.
    turns: Arc<Turns>,
    /// As many again for clients that are in and authenticate once more.
    turns_again: Arc<Turns>,
}

/// Who waits for a call of an extension. Clients that are in do not wait behind strangers.
pub(crate) enum Caller {
    /// A client that wants in, and gives up at this time.
    Stranger { until: Instant },
    /// A client that is in, with the places for questions of such.
    Client { bench: Arc<Semaphore> },
}

/// What all chains share.
pub(crate) struct Office {
    sets: Mutex<PermissionSets>,
    connects: Arc<Semaphore>,
    /// Places for strangers that wait.
    waiting: Semaphore,
}

impl Office {
    pub(crate) fn new() -> Self {
        Self {
            sets: Mutex::new(PermissionSets::new()),
            connects: Arc::new(Semaphore::new(CONNECT_CALLS_MAX)),
            waiting: Semaphore::new(STRANGERS_WAITING_MAX),
        }
    }
}

/// Who a client is and what it may do, and who said so.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) identity: Arc<Identity>,
    pub(crate) permissions: Arc<PermissionSet>,
    pub(crate) valid_for_ms: Option<u64>,
    pub(crate) limits: Limits,
    /// The extension that said who.
    pub(crate) authenticator: Extension,
    /// The version of it that did.
    pub(crate) authenticated_by: Arc<str>,
    /// The last that it has to say to the client, where the two had an exchange.
    pub(crate) authentication_data: Option<Vec<u8>>,
    /// The extension that said what, to be asked where its permissions say so.
    pub(crate) authority: Option<Extension>,
    /// Time inside the extensions.
    pub(crate) took: Duration,
}

/// Why a client is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What CONNACK says.
    pub(crate) code: ReasonCode,
    /// The extension that decided, if one did.
    pub(crate) by: Option<Arc<str>>,
    /// Its reason, or ours.
    pub(crate) why: String,
    /// Time inside the extensions.
    pub(crate) took: Duration,
}

impl Chain {
    pub(crate) fn new(extensions: Vec<Extension>, office: Arc<Office>, limits: Limits) -> Self {
        let (extensions, limits) = (extensions.into(), Arc::new(limits));
        let (turns, turns_again) = (Turns::new(), Turns::new());
        Self { extensions, office, limits, turns, turns_again }
    }

    /// Asks who a client is and what it may do. Whatever is not a clear yes refuses it.
    pub(crate) async fn admit(
        &self,
        connecting: &Arc<Connecting>,
        secret: Option<&[u8]>,
        until: Instant,
    ) -> Result<Standing, Refusal> {
        let (chain, connecting) = (self.clone(), Arc::clone(connecting));
        let secret = secret.map(<[u8]>::to_vec);
        self.in_turn(Caller::Stranger { until }, move || {
            let mut took = Duration::ZERO;
            let (authenticator, grant) =
                chain.authenticate(&connecting, secret.as_deref(), &mut took)?;
            chain.conclude(&connecting, authenticator, grant, took)
        })
        .await
    }

    /// Has `job` run where it may block, as soon as there is room for its call.
    pub(crate) async fn in_turn<T: Send + 'static>(
        &self,
        caller: Caller,
        job: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (turns, places, until) = match caller {
            Caller::Stranger { until } => (&self.turns, &self.office.connects, Some(until)),
            Caller::Client { ref bench } => (&self.turns_again, bench, None),
        };
        let waits = match until {
            Some(_) => Some(self.office.waiting.try_acquire().map_err(|_| {
                let why = "as many clients wait to be decided about as may";
                Refusal::ours(ReasonCode::ServerBusy, why)
            })?),
            None => None,
        };
        let turn = async {
            let own = turns.take(self.calls()).await?;
            let shared = Arc::clone(places).acquire_owned().await?;
            Ok::<_, tokio::sync::AcquireError>((own, shared))
        };
        let turn = match until {
            Some(until) => tokio::time::timeout_at(until, turn).await,
            None => Ok(turn.await),
        };
        let Ok(Ok(turn)) = turn else {
            let why = "other clients were being decided about all the time";
            return Err(Refusal::ours(ReasonCode::ServerBusy, why));
        };
        drop(waits);
        // The turn is part of the job: a caller that gives up leaves the guest running.
        let job = tokio::task::spawn_blocking(move || {
            let decided = job();
            drop(turn);
            decided
        });
        job.await.unwrap_or_else(|panic| {
            let why = format!("the call of an extension did not end in order: {panic}");
            Err(Refusal::ours(ReasonCode::ServerUnavailable, why))
        })
    }

    /// How many calls can be inside its extensions together. It changes when one is reloaded.
    fn calls(&self) -> usize {
        let inside = self.extensions.iter().map(Extension::instances).max().unwrap_or(1);
        inside.min(CONNECT_CALLS_MAX)
    }

    /// Finds out what a client may do whom `authenticator` accepted. Blocks.
    pub(crate) fn conclude(
        &self,
        connecting: &Arc<Connecting>,
        (authenticator, authenticated_by): (&Extension, Arc<str>),
        grant: Grant,
        mut took: Duration,
    ) -> Result<Standing, Refusal> {
        let identity = Arc::new(Identity {
            client_id: connecting.client_id.as_str().into(),
            principal: Arc::clone(&grant.principal),
            attributes: grant.attributes,
        });
        let given = match grant.permissions {
            Some(permissions) => Some((authenticator.clone(), permissions)),
            None => self.authorize(&identity, connecting, &mut took)?,
        };
        let (authority, permissions) = match given {
            Some((authority, stated)) => {
                let mut sets = self.office.sets.lock().unwrap_or_else(PoisonError::into_inner);
                let set = sets.intern(&stated).map_err(|error| {
                    let why = format!("its permissions cannot be used: {error}");
                    let by = Arc::clone(&stated.source);
                    Refusal::by(by, ReasonCode::ServerUnavailable, why, took)
                })?;
                (Some(authority), set)
            }
            None => (None, Arc::new(PermissionSet::deny_all("no extension of the chain"))),
        };
        let limits = self.limit(&identity, connecting, &mut took)?;
        Ok(Standing {
            identity,
            permissions,
            valid_for_ms: grant.valid_for_ms,
            limits,
            authenticator: authenticator.clone(),
            authenticated_by,
            authentication_data: None,
            authority,
            took,
        })
    }

    /// The extensions that authenticate by this method, in the order in which they are asked.
    pub(crate) fn offering(&self, method: &str) -> Vec<Extension> {
        self.extensions.iter().filter(|extension| extension.offers(method)).cloned().collect()
    }

    /// The first that accepts or rejects decides; one that fails refuses.
    fn authenticate(
        &self,
        connecting: &Arc<Connecting>,
        secret: Option<&[u8]>,
        took: &mut Duration,
    ) -> Result<((&Extension, Arc<str>), Grant), Refusal> {
        for extension in self.extensions.iter().filter(|e| e.hooks().authenticator) {
            let answer = extension.authenticate(connecting, secret);
            *took += answer.took;
            match answer.result {
                Ok(AuthenticationOutcome::Accept(grant)) => {
                    return Ok(((extension, answer.by), grant));
                }
                Ok(AuthenticationOutcome::Abstain) => {}
                Ok(AuthenticationOutcome::Reject { code, reason }) => {
                    let why = reason.unwrap_or_else(|| "rejected without a reason".to_owned());
                    return Err(Refusal::by(answer.by, code, why, *took));
                }
                Err(failure) => {
                    let code = ReasonCode::ServerUnavailable;
                    return Err(Refusal::by(answer.by, code, failure.to_string(), *took));
                }
            }
        }
        let why = "no extension of the chain accepted the client".to_owned();
        Err(Refusal { took: *took, ..Refusal::ours(ReasonCode::NotAuthorized, why) })
    }

    /// The first that has permissions for the client gives them.
    fn authorize(
        &self,
        identity: &Arc<Identity>,
        connecting: &Arc<Connecting>,
        took: &mut Duration,
    ) -> Result<Option<(Extension, auth::Permissions)>, Refusal> {
        for extension in self.extensions.iter().filter(|e| e.hooks().authorizer) {
            let answer = extension.permissions(identity, connecting);
            *took += answer.took;
            match answer.result {
                Ok(Some(permissions)) => return Ok(Some((extension.clone(), permissions))),
                Ok(None) => {}
                Err(failure) => {
                    let code = ReasonCode::ServerUnavailable;
                    return Err(Refusal::by(answer.by, code, failure.to_string(), *took));
                }
            }
        }
        Ok(None)
    }

    /// What all extensions of the chain and the listener limit the client to: of each limit the strictest.
    fn limit(
        &self,
        identity: &Arc<Identity>,
        connecting: &Arc<Connecting>,
        took: &mut Duration,
    ) -> Result<Limits, Refusal> {
        let mut limits = *self.limits;
        for extension in self.extensions.iter().filter(|e| e.hooks().client_limits) {
            let answer = extension.limits(identity, connecting);
            *took += answer.took;
            let given = answer.result.map_err(|failure| {
                let code = ReasonCode::ServerUnavailable;
                Refusal::by(answer.by, code, failure.to_string(), *took)
            })?;
            limits = limits.narrowed(given);
        }
        Ok(limits)
    }
}

impl Refusal {
    /// A refusal that no extension decided.
    pub(crate) fn ours(code: ReasonCode, why: impl Into<String>) -> Self {
        Self { code, by: None, why: why.into(), took: Duration::ZERO }
    }

    pub(crate) fn by(version: Arc<str>, code: ReasonCode, why: String, took: Duration) -> Self {
        Self { code, by: Some(version), why, took }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.extensions.iter().map(Extension::id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn so_many_strangers_wait_and_further_ones_hear_so_at_once() {
        let chain = Chain::new(Vec::new(), Arc::new(Office::new()), Limits::default());
        let until = Instant::now() + Duration::from_secs(60);
        let (release, held) = mpsc::channel::<()>();
        let first = chain.clone();
        let first = tokio::spawn(async move {
            let job = move || {
                // Until the test lets go of it.
                let _ = held.recv();
                Ok(())
            };
            first.in_turn(Caller::Stranger { until }, job).await
        });
        while chain.office.connects.available_permits() == CONNECT_CALLS_MAX {
            tokio::task::yield_now().await;
        }
        let waiting: Vec<_> = (0..STRANGERS_WAITING_MAX)
            .map(|_| {
                let chain = chain.clone();
                tokio::spawn(
                    async move { chain.in_turn(Caller::Stranger { until }, || Ok(())).await },
                )
            })
            .collect();
        while chain.office.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = chain.in_turn(Caller::Stranger { until }, || Ok(())).await;
        assert_eq!(refused.map_err(|refusal| refusal.code), Err(ReasonCode::ServerBusy));
        // A client that is in has a place of its own.
        let bench = Arc::new(Semaphore::new(1));
        assert_eq!(chain.in_turn(Caller::Client { bench }, || Ok(())).await, Ok(()));
        drop(release);
        assert_eq!(first.await.expect("it ends"), Ok(()));
        for stranger in waiting {
            assert_eq!(stranger.await.expect("it ends"), Ok(()));
        }
        assert_eq!(chain.office.waiting.available_permits(), STRANGERS_WAITING_MAX);
    }
}
