//! The hooks of an extension, whatever generations it has.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Extension, lock};
use crate::answer::{
    Answer, AuthenticationOutcome, Continuation, Failure, Progress, Publication, Step,
    SubscriptionRequest, Verdict,
};
use crate::asked::{Asked, Entry, Question, Shown};
use crate::connecting::Connecting;
use crate::generation::Generation;
use crate::interception::{DeliveryAction, Intercepted, PublishAction};
use crate::interceptors::Exhibit;
use crate::observation::Observed;
use crate::recording::RecordedCall;
use crate::rollout::{Candidate, Turn};
use crate::said::Said;
use crate::sitting::{Purpose, Sitting, Trial};
use crate::tape::Tape;

/// The hooks. Each answer is that of exactly one generation.
impl Extension {
    /// Asks who a client is.
    pub fn authenticate(
        &self,
        connection: &Arc<Connecting>,
        secret: Option<&[u8]>,
    ) -> Answer<AuthenticationOutcome> {
        self.answer(
            connection,
            |generation, tape| generation.authenticate(connection, secret, tape),
            |result| {
                let question = Question::Authenticate(secret.map(<[u8]>::to_vec));
                Some((asked(connection, None, question), Said::authentication(result)))
            },
        )
    }

    /// Has one step of enhanced authentication taken. `who` is the identity of a client that is
    /// connected and authenticates again. An exchange stays with the generation that began it.
    pub fn step(
        &self,
        who: Option<&Arc<auth::Identity>>,
        connection: &Arc<Connecting>,
        step: Step<'_>,
    ) -> Answer<Progress> {
        let Some(begun) = step.state.map(Continuation::generation) else {
            return self.answer(connection, |g, _| g.step(who, connection, step), |_| None);
        };
        let began = Instant::now();
        let result = begun.step(who, connection, step);
        Answer { result, took: began.elapsed(), by: Arc::clone(&begun.id) }
    }

    /// Asks what a client may do. None abstains.
    pub fn permissions(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
    ) -> Answer<Option<auth::Permissions>> {
        self.answer(
            connection,
            |generation, tape| generation.permissions(who, connection, tape),
            |result| {
                let asked = asked(connection, Some(who), Question::Permissions);
                Some((asked, Said::permissions(result)))
            },
        )
    }

    /// Asks how much a client may do.
    pub fn limits(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
    ) -> Answer<auth::Limits> {
        self.answer(
            connection,
            |generation, tape| generation.client_limits(who, connection, tape),
            |result| Some((asked(connection, Some(who), Question::Limits), Said::limits(result))),
        )
    }

    /// Asks about a publish that the permission set leaves to the extension.
    pub fn authorize_publish(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
        what: &Publication<'_>,
    ) -> Answer<Verdict> {
        self.answer(
            connection,
            |generation, tape| generation.authorize_publish(who, connection, what, tape),
            |result| {
                let question = Question::Publish {
                    topic: what.topic.to_owned(),
                    qos: what.qos,
                    retain: what.retain,
                    payload_len: what.payload_len,
                };
                Some((asked(connection, Some(who), question), Said::verdict(result)))
            },
        )
    }

    /// An instance for some questions in a row, where the caller cannot wait: none if the extension may take
    /// longer than some ten microseconds, has no free instance, has a shadow that is to be asked the same, or is recorded.
    /// It is one of the version that decides about the client; a version that is tried and fails answers nothing, so that
    /// the caller asks where the running one answers in its place.
    #[must_use]
    pub fn sit<'a>(
        &self,
        who: &'a Arc<auth::Identity>,
        connection: &'a Arc<Connecting>,
    ) -> Option<Sitting<'a>> {
        self.sit_to(Purpose::Authorize, who, connection)
    }

    /// The same for interceptors.
    #[must_use]
    pub fn sit_to_intercept<'a>(
        &self,
        who: &'a Arc<auth::Identity>,
        connection: &'a Arc<Connecting>,
    ) -> Option<Sitting<'a>> {
        self.sit_to(Purpose::Intercept, who, connection)
    }

    fn sit_to<'a>(
        &self,
        purpose: Purpose,
        who: &'a Arc<auth::Identity>,
        connection: &'a Arc<Connecting>,
    ) -> Option<Sitting<'a>> {
        if self.0.shared.recorder.is_on() {
            return None;
        }
        let turn = lock(&self.0.rollout).turn_alone(&connection.client_id)?;
        let trial = turn.candidate.map(|candidate| Trial { extension: self.clone(), candidate });
        Sitting::begin(turn.first, purpose, who, connection, trial)
    }

    /// A number that changes whenever the extension may decide otherwise than before.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.0.revision.load(Ordering::Relaxed)
    }

    /// Asks about the entries of one SUBSCRIBE that the permission set leaves to the extension. Exactly one
    /// verdict for each entry.
    pub fn authorize_subscribe(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
        what: &[SubscriptionRequest<'_>],
    ) -> Answer<Vec<Verdict>> {
        self.answer(
            connection,
            |generation, tape| generation.authorize_subscribe(who, connection, what, tape),
            |result| {
                let entry = |request: &SubscriptionRequest<'_>| Entry {
                    filter: request.filter.to_owned(),
                    share_group: request.share_group.map(str::to_owned),
                    qos: request.qos,
                };
                let question = Question::Subscribe(what.iter().map(entry).collect());
                Some((asked(connection, Some(who), question), Said::verdicts(result)))
            },
        )
    }

    /// Asks what becomes of a publish, before anybody gets it. It passes where the version that answers has no interest in it.
    pub fn intercept_publish(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
        what: &Intercepted<'_>,
    ) -> Answer<PublishAction> {
        self.answer(
            connection,
            |generation, tape| {
                generation.intercept_publish(who, connection, Exhibit::of(what), tape)
            },
            |result| {
                let bytes = self.publish_interest().map_or(0, |interest| interest.payload_bytes);
                let question = Question::InterceptPublish(Box::new(Shown::of(what, bytes)));
                Some((asked(connection, Some(who), question), Said::publish(result)))
            },
        )
    }

    /// Asks what becomes of a message that the client is about to be sent. It passes where the version that answers has no
    /// interest in it.
    pub fn intercept_delivery(
        &self,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
        what: &Intercepted<'_>,
    ) -> Answer<DeliveryAction> {
        self.answer(
            connection,
            |generation, tape| {
                generation.intercept_delivery(who, connection, Exhibit::of(what), tape)
            },
            |result| {
                let bytes = self.delivery_interest().map_or(0, |interest| interest.payload_bytes);
                let question = Question::InterceptDelivery(Box::new(Shown::of(what, bytes)));
                Some((asked(connection, Some(who), question), Said::delivery(result)))
            },
        )
    }

    /// Tells what happened, 1 to [`crate::MAX_EVENTS`] events in their order; `missed` were left out before them. A version that
    /// is tried for all clients is told it; one that only watches, or decides for some, is not.
    pub fn observe(&self, events: &[Observed<'_>], missed: u64) -> Answer<()> {
        let began = Instant::now();
        let turn = lock(&self.0.rollout).turn_of_all();
        let tell = |generation: &Arc<Generation>| (generation.observe(events, missed), ());
        let (result, (), by) = self.decided(&turn, tell);
        Answer { result, took: began.elapsed(), by }
    }

    /// Has the generation answer whose turn it is. Where a candidate fails, the running one answers in its place; a
    /// candidate that only watches is handed what was asked and said, and so is the recorder.
    fn answer<R>(
        &self,
        connection: &Connecting,
        ask: impl Fn(&Arc<Generation>, Option<&Tape>) -> Result<R, Failure>,
        keep: impl FnOnce(&Result<R, Failure>) -> Option<(Asked, Said)>,
    ) -> Answer<R> {
        let began = Instant::now();
        let turn = lock(&self.0.rollout).turn(&connection.client_id);
        let (result, tape, by) = self.decided(&turn, |generation| {
            let tape = self.0.shared.recorder.tape();
            (ask(generation, tape.as_ref()), tape)
        });
        let took = began.elapsed();
        let candidate = turn.candidate.as_ref().filter(|_| turn.fallback.is_none());
        let shadow = candidate.and_then(|candidate| candidate.shadow.as_ref());
        if (shadow.is_some() || tape.is_some())
            && let Some((asked, said)) = keep(&result)
        {
            if let Some(tape) = tape {
                self.record_call(&tape, asked.clone(), said.clone(), &by);
            }
            if let Some(shadow) = shadow {
                shadow.compare(asked, said);
            }
        }
        Answer { result, took, by }
    }

    /// The answer of the generation whose turn it is, or of the running one where a candidate fails and that does not; with
    /// what belongs to it, and the name of the one whose it is.
    fn decided<R, X>(
        &self,
        turn: &Turn,
        ask: impl Fn(&Arc<Generation>) -> (Result<R, Failure>, X),
    ) -> (Result<R, Failure>, X, Arc<str>) {
        let (result, more) = ask(&turn.first);
        let first = Arc::clone(&turn.first.id);
        let (Some(candidate), Some(running)) = (&turn.candidate, &turn.fallback) else {
            return (result, more, first);
        };
        candidate.tally.decisions.fetch_add(1, Ordering::Relaxed);
        if let Err(failure) = &result
            && failure.is_regression()
        {
            let (second, others) = ask(running);
            if !second.as_ref().is_err_and(Failure::is_regression) {
                self.regressed(candidate, failure);
                return (second, others, Arc::clone(&running.id));
            }
        }
        (result, more, first)
    }

    fn record_call(&self, tape: &Tape, asked: Asked, said: Said, by: &Arc<str>) {
        let at_ms = now_ms();
        let call = |calls| {
            let by = Arc::clone(by);
            RecordedCall { at_ms, by, asked, said, calls, is_veiled: false }
        };
        self.0.shared.recorder.keep(tape.calls().map(call));
    }

    /// A candidate failed where the running generation did not.
    pub(crate) fn regressed(&self, candidate: &Arc<Candidate>, failure: &Failure) {
        let (dropped, running) = {
            let mut rollout = lock(&self.0.rollout);
            let dropped = rollout.regressed(candidate);
            (dropped, Arc::clone(&rollout.running().id))
        };
        let extension = &*candidate.generation.id;
        if dropped {
            self.0.shared.counters.rolled_back.count();
            tracing::error!(
                extension,
                %running,
                %failure,
                fix = "put its former component back: the next start runs what the file has",
                "extension version rolled back"
            );
        } else {
            tracing::warn!(extension, %running, %failure, "extension version failed; the running one answered");
        }
    }
}

pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn asked(
    connection: &Arc<Connecting>,
    who: Option<&Arc<auth::Identity>>,
    question: Question,
) -> Asked {
    Asked { connection: Arc::clone(connection), identity: who.map(Arc::clone), question }
}
