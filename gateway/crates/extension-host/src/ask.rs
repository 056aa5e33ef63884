//! How a question reaches a guest, and what is done about its failure.

use std::time::{Duration, Instant};

use wasmtime::Store;

use crate::answer::Failure;
use crate::breaker::Breaker;
use crate::connecting::Connecting;
use crate::generation::{Generation, load_error};
use crate::guest::{Guest, Subject};
use crate::instance::BoundHooks;
use crate::pace::Pace;
use crate::pool::NoSeat;

/// Which breaker and which deadline a call has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Authenticate,
    /// A step of enhanced authentication of a client that wants in.
    Step,
    /// A step of a client that is in.
    StepAgain,
    /// The permissions of a client that wants in.
    Permissions,
    /// How much it may do.
    Limits,
    Authorize,
    InterceptPublish,
    InterceptDelivery,
    Observe,
}

/// What a call of the guest gave: nothing for an absent hook, an error of the engine, or an answer, which may
/// itself be no good.
pub(crate) type Called<R> = Option<wasmtime::Result<Result<R, Failure>>>;

impl Generation {
    pub(crate) fn ask<R>(
        &self,
        hook: Hook,
        connection: &Connecting,
        secret_bytes: usize,
        subject: Subject,
        call: impl FnOnce(&BoundHooks, &mut Store<Guest>) -> Called<R>,
    ) -> Result<R, Failure> {
        connection.check_size(secret_bytes)?;
        self.put(hook, subject, call)
    }

    /// Asks what is about no connection, or about one that has been checked.
    pub(crate) fn put<R>(
        &self,
        hook: Hook,
        subject: Subject,
        call: impl FnOnce(&BoundHooks, &mut Store<Guest>) -> Called<R>,
    ) -> Result<R, Failure> {
        self.admit(hook)?;
        let result = self.call(hook, subject, call);
        self.settle(hook, &result);
        result
    }

    pub(crate) fn admit(&self, hook: Hook) -> Result<(), Failure> {
        self.breaker(hook).admit(Instant::now).map_err(|retry_in| {
            self.counters.turned_away.count();
            Failure::BreakerOpen { retry_in }
        })
    }

    fn call<R>(
        &self,
        hook: Hook,
        subject: Subject,
        call: impl FnOnce(&BoundHooks, &mut Store<Guest>) -> Called<R>,
    ) -> Result<R, Failure> {
        let (budget, plan) = (self.budget(hook), self.pool.plan());
        let mut seat = self.pool.take(budget).map_err(|e| match e {
            NoSeat::Saturated => Failure::Saturated,
            NoSeat::Build(e) => Failure::Restart(load_error(&self.name, e).to_string()),
        })?;
        let Some(instance) = seat.instance() else { return Err(Failure::Saturated) };
        self.counters.calls.count();
        let result =
            instance.call(plan, hook.name(), budget, subject, call).and_then(|answer| answer);
        if let Some(pace) = self.pace(hook) {
            match &result {
                Err(failure) if failure.is_fault() => pace.spoil(),
                _ => pace.note(instance.elapsed()),
            }
        }
        if instance.was_refused_memory() {
            self.counters.memory_refused.count();
        }
        if instance.is_spent(plan) || result.as_ref().is_err_and(Failure::is_fault) {
            seat.discard();
        }
        result
    }

    /// Counts what came of a call and tells the breaker. A guest that says "unavailable" works: only its
    /// faults open the breaker.
    pub(crate) fn settle<R>(&self, hook: Hook, result: &Result<R, Failure>) {
        let counters = &self.counters;
        match result {
            Err(Failure::Trap(_)) => counters.traps.count(),
            Err(Failure::Deadline) => counters.deadline_exceeded.count(),
            Err(Failure::InvalidAnswer(_)) => counters.invalid_answers.count(),
            Err(Failure::Unavailable(_) | Failure::Internal(_)) => counters.unavailable.count(),
            Err(Failure::Saturated) => counters.saturated.count(),
            _ => {}
        }
        let breaker = self.breaker(hook);
        match result {
            Err(failure) if failure.is_fault() => {
                let opened = breaker.failed(Instant::now());
                self.report(hook, failure, opened);
            }
            Err(Failure::Saturated) => {}
            _ => breaker.succeeded(),
        }
    }

    fn report(&self, hook: Hook, failure: &Failure, opened: bool) {
        let (extension, hook) = (&*self.id, hook.name());
        tracing::warn!(extension, hook, %failure, "extension failed");
        if opened {
            self.counters.breaker_open.count();
            tracing::error!(
                extension,
                hook,
                "extension keeps failing and is left alone for a while"
            );
        }
    }

    pub(crate) fn breaker(&self, hook: Hook) -> &Breaker {
        match hook {
            Hook::Authenticate => &self.breakers.authenticate,
            Hook::Step => &self.breakers.step,
            Hook::StepAgain => &self.breakers.step_again,
            Hook::Permissions | Hook::Limits | Hook::Authorize => &self.breakers.authorize,
            Hook::InterceptPublish => &self.breakers.intercept_publish,
            Hook::InterceptDelivery => &self.breakers.intercept_delivery,
            Hook::Observe => &self.breakers.observe,
        }
    }

    /// How quickly a hook answers that others may have to wait for.
    pub(crate) fn pace(&self, hook: Hook) -> Option<&Pace> {
        match hook {
            Hook::Authorize => Some(&self.pace),
            Hook::InterceptPublish | Hook::InterceptDelivery => Some(&self.intercepting_pace),
            Hook::Authenticate
            | Hook::Step
            | Hook::StepAgain
            | Hook::Permissions
            | Hook::Limits
            | Hook::Observe => None,
        }
    }

    fn budget(&self, hook: Hook) -> Duration {
        match hook {
            // Many clients may come at once, each once: they can wait for their turn.
            Hook::Authenticate
            | Hook::Step
            | Hook::StepAgain
            | Hook::Permissions
            | Hook::Limits => self.limits.deadline_authenticate,
            Hook::Authorize => self.limits.deadline_authorize,
            Hook::InterceptPublish | Hook::InterceptDelivery => self.limits.deadline_intercept,
            Hook::Observe => self.limits.deadline_observe,
        }
    }
}

impl Hook {
    /// One for each breaker.
    pub(crate) const ALL: [Self; 7] = [
        Self::Authenticate,
        Self::Step,
        Self::StepAgain,
        Self::Authorize,
        Self::InterceptPublish,
        Self::InterceptDelivery,
        Self::Observe,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Step => "step",
            Self::StepAgain => "step (re-authentication)",
            Self::Permissions => "permissions",
            Self::Limits => "limit",
            Self::Authorize => "authorize",
            Self::InterceptPublish => "intercept-publish",
            Self::InterceptDelivery => "intercept-delivery",
            Self::Observe => "observe",
        }
    }
}
