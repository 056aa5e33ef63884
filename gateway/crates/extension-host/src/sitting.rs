//! Some questions in a row to one instance, on the thread of a caller that has others to serve.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wasmtime::Store;

use crate::answer::{Failure, Publication, Verdict, Verdicts};
use crate::ask::{Called, Hook};
use crate::connecting::Connecting;
use crate::extension::Extension;
use crate::generation::Generation;
use crate::guest::Guest;
use crate::instance::{BoundHooks, Instance};
use crate::interception::{DeliveryAction, Intercepted, PublishAction};
use crate::interceptors::Exhibit;
use crate::pace::Pace;
use crate::questions::subject;
use crate::rollout::Candidate;
use crate::ticker::{Presence, TICK};

/// What an answer that did not come in time has taken at least.
const LATE: Duration = TICK;

/// An instance that is at its caller's disposal. Keep it short: it is missing elsewhere.
///
/// Each question is answered `None` if the answer did not come with the next tick of the deadlines' clock, and so is every question
/// after that or after a fault: ask as [`crate::Extension`] does then.
pub struct Sitting<'a> {
    about: About<'a>,
    purpose: Purpose,
    /// None after a fault.
    instance: Option<Instance>,
    began: Instant,
    calls: u32,
    /// What was asked in them.
    questions: u32,
    /// Which of the purpose's hooks have answered in order.
    answered: [bool; 2],
    /// Where the version is one that is tried.
    trial: Option<Trial>,
    _presence: Presence,
}

/// How many questions are put in one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    /// One, as it would be asked where the caller can wait.
    Alone,
    /// So many, by a hook that is called in no other way.
    Together(u32),
}

/// Whose faults are the candidate's.
pub(crate) struct Trial {
    pub(crate) extension: Extension,
    pub(crate) candidate: Arc<Candidate>,
}

/// Who is asked, about whom.
struct About<'a> {
    generation: Arc<Generation>,
    who: &'a Arc<auth::Identity>,
    connection: &'a Arc<Connecting>,
}

/// What an instance sits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Authorize,
    Intercept,
}

impl Put {
    fn questions(self) -> u32 {
        match self {
            Self::Alone => 1,
            Self::Together(questions) => questions,
        }
    }
}

impl Purpose {
    fn hooks(self) -> &'static [Hook] {
        match self {
            Self::Authorize => &[Hook::Authorize],
            Self::Intercept => &[Hook::InterceptPublish, Hook::InterceptDelivery],
        }
    }

    fn pace(self, generation: &Generation) -> &Pace {
        match self {
            Self::Authorize => &generation.pace,
            Self::Intercept => &generation.intercepting_pace,
        }
    }

    /// Whether nobody has to step aside for it: it has been quick, fails seldom, and none of its capabilities can make it
    /// wait.
    fn is_quick(self, generation: &Generation) -> bool {
        let trusted = |hook: &Hook| generation.breaker(*hook).is_closed();
        self.pace(generation).is_quick()
            && generation.never_waits()
            && self.hooks().iter().all(trusted)
    }

    fn name(self) -> &'static str {
        self.hooks().first().map_or("", |hook| hook.name())
    }
}

impl<'a> Sitting<'a> {
    pub(crate) fn begin(
        generation: Arc<Generation>,
        purpose: Purpose,
        who: &'a Arc<auth::Identity>,
        connection: &'a Arc<Connecting>,
        trial: Option<Trial>,
    ) -> Option<Self> {
        if !purpose.is_quick(&generation) || connection.check_size(0).is_err() {
            return None;
        }
        let mut instance = generation.pool.take_idle()?;
        instance.open(purpose.name(), subject(who, connection, None));
        Some(Self {
            _presence: generation.pool.plan().ticker.stay(),
            about: About { generation, who, connection },
            purpose,
            instance: Some(instance),
            began: Instant::now(),
            calls: 0,
            questions: 0,
            answered: [false; 2],
            trial,
        })
    }

    /// Name and hash of the generation that answers.
    #[must_use]
    pub fn by(&self) -> &Arc<str> {
        &self.about.generation.id
    }

    /// How many questions it can answer before others should have their turn on the thread, at the pace that it had
    /// until now: those of two milliseconds.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.purpose.pace(&self.about.generation).in_two_ms()
    }

    /// Whether it can be asked about several publishes in one call.
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        let hooks = &self.about.generation.hooks;
        hooks.batch_authorizer || hooks.bulk_authorizer
    }

    /// Asks about a publish.
    pub fn authorize_publish(
        &mut self,
        what: &Publication<'_>,
    ) -> Option<Result<Verdict, Failure>> {
        self.ask(Hook::Authorize, Put::Alone, |about, hooks, store| {
            let About { generation, who, connection } = about;
            generation.call_authorize_publish(hooks, store, who, connection, what)
        })
    }

    /// Asks about publishes, at least one, in one call; also `None` about several if the guest takes no more than one at a time.
    pub fn authorize_publishes(
        &mut self,
        what: &[Publication<'_>],
    ) -> Option<Result<Verdicts, Failure>> {
        let put = Put::Together(u32::try_from(what.len()).unwrap_or(u32::MAX));
        if self.about.generation.hooks.bulk_authorizer {
            return self.ask(Hook::Authorize, put, |about, hooks, store| {
                about.generation.call_authorize_publications(hooks, store, what)
            });
        }
        if let [one] = what {
            let verdict = self.authorize_publish(one)?;
            return Some(verdict.map(|one| Verdicts::Each(vec![one])));
        }
        if !self.takes_batches() {
            return None;
        }
        self.ask(Hook::Authorize, put, |about, hooks, store| {
            let About { generation, who, connection } = about;
            generation.call_authorize_publishes(hooks, store, who, connection, what)
        })
    }

    /// Asks what becomes of a publish. It passes where the guest has no interest in it.
    pub fn intercept_publish(
        &mut self,
        what: &Intercepted<'_>,
    ) -> Option<Result<PublishAction, Failure>> {
        if !self.about.generation.wants_publish(what.topic) {
            return Some(Ok(PublishAction::Pass));
        }
        self.ask(Hook::InterceptPublish, Put::Alone, |about, hooks, store| {
            let About { generation, who, connection } = about;
            generation.call_on_publish(hooks, store, who, connection, Exhibit::of(what))
        })
    }

    /// Asks what becomes of a message for the client. It passes where the guest has no interest in it.
    pub fn intercept_delivery(
        &mut self,
        what: &Intercepted<'_>,
    ) -> Option<Result<DeliveryAction, Failure>> {
        if !self.about.generation.wants_delivery(what.topic) {
            return Some(Ok(DeliveryAction::Pass));
        }
        self.ask(Hook::InterceptDelivery, Put::Alone, |about, hooks, store| {
            let About { generation, who, connection } = about;
            generation.call_on_delivery(hooks, store, who, connection, Exhibit::of(what))
        })
    }

    fn ask<R>(
        &mut self,
        hook: Hook,
        put: Put,
        call: impl FnOnce(&About<'a>, &BoundHooks, &mut Store<Guest>) -> Called<R>,
    ) -> Option<Result<R, Failure>> {
        let about = &self.about;
        let instance = self.instance.as_mut()?;
        let result = instance.call_now(hook.name(), |hooks, store| call(about, hooks, store));
        self.calls = self.calls.saturating_add(1);
        self.questions = self.questions.saturating_add(put.questions());
        let generation = &about.generation;
        let pace = self.purpose.pace(generation);
        match &result {
            Ok(_) => {
                let hooks = self.purpose.hooks().iter().zip(&mut self.answered);
                hooks.filter(|(of, _)| **of == hook).for_each(|(_, answered)| *answered = true);
                return Some(result);
            }
            Err(Failure::Deadline) => {
                // On a busy machine it may be the thread that was kept waiting. If not, the question will be late
                // where it may wait too, and spoils the guest's name there.
                self.instance = None;
                pace.note(LATE);
                return None;
            }
            Err(failure) if failure.is_fault() => {
                self.instance = None;
                pace.spoil();
            }
            Err(_) => {}
        }
        generation.settle(hook, &result);
        match (&self.trial, &result) {
            (Some(trial), Err(failure)) if failure.is_regression() => {
                // A question that was put alone is put again, to both versions, and this failure is found there.
                if put != Put::Alone {
                    trial.extension.regressed(&trial.candidate, failure);
                }
                None
            }
            _ => Some(result),
        }
    }
}

impl Drop for Sitting<'_> {
    fn drop(&mut self) {
        let generation = &self.about.generation;
        generation.counters.calls.add(u64::from(self.calls));
        if let Some(trial) = &self.trial {
            trial.candidate.tally.decisions.fetch_add(self.questions.into(), Ordering::Relaxed);
        }
        let mut instance = self.instance.take();
        if let Some(kept) = &mut instance {
            kept.close(self.calls);
            if let Some(each) = self.began.elapsed().checked_div(self.questions) {
                self.purpose.pace(generation).note(each);
            }
            let answered = self.purpose.hooks().iter().zip(self.answered);
            for (hook, _) in answered.filter(|(_, answered)| *answered) {
                generation.settle(*hook, &Ok(()));
            }
        }
        let plan = generation.pool.plan();
        generation.pool.give_back(instance.filter(|instance| !instance.is_spent(plan)));
    }
}

impl fmt::Debug for Sitting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sitting").field(&self.about.generation.id).finish()
    }
}
