//! One instance of a component: its own memory, one call at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{Instance as ComponentInstance, InstancePre};
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::answer::Failure;
use crate::ask::Called;
use crate::bindings::exports::portcullis::gateway::{
    authenticator, authorizer, batch_authorizer, bulk_authorizer, client_limits,
    delivery_interceptor, enhanced_authenticator, lifecycle, observer, publish_interceptor,
    reconfiguration,
};
use crate::clock::ticks;
use crate::guest::{Ended, Guest, Services, Subject};
use crate::ledger::{Ledger, Refusal};
use crate::spec::ExtensionLimits;
use crate::stats::Counters;
use crate::ticker::Ticker;

/// Handles that a guest may hold at a time; a hook needs one.
const MAX_HANDLES: usize = 64;

/// What is needed to make instances.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) exports: Exports,
    pub(crate) limits: ExtensionLimits,
    pub(crate) services: Arc<Services>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ticker: Arc<Ticker>,
}

/// Where a component exports what; an absent hook is none.
#[derive(Clone)]
pub(crate) struct Exports {
    pub(crate) lifecycle: lifecycle::GuestIndices,
    pub(crate) authenticator: Option<authenticator::GuestIndices>,
    pub(crate) enhanced_authenticator: Option<enhanced_authenticator::GuestIndices>,
    pub(crate) authorizer: Option<authorizer::GuestIndices>,
    pub(crate) batch_authorizer: Option<batch_authorizer::GuestIndices>,
    pub(crate) bulk_authorizer: Option<bulk_authorizer::GuestIndices>,
    pub(crate) client_limits: Option<client_limits::GuestIndices>,
    pub(crate) publish_interceptor: Option<publish_interceptor::GuestIndices>,
    pub(crate) delivery_interceptor: Option<delivery_interceptor::GuestIndices>,
    pub(crate) observer: Option<observer::GuestIndices>,
    pub(crate) reconfiguration: Option<reconfiguration::GuestIndices>,
}

pub(crate) struct Instance {
    store: Store<Guest>,
    hooks: BoundHooks,
    calls: u32,
    made: Instant,
}

pub(crate) struct BoundHooks {
    pub(crate) authenticator: Option<authenticator::Guest>,
    pub(crate) enhanced_authenticator: Option<enhanced_authenticator::Guest>,
    pub(crate) authorizer: Option<authorizer::Guest>,
    pub(crate) batch_authorizer: Option<batch_authorizer::Guest>,
    pub(crate) bulk_authorizer: Option<bulk_authorizer::Guest>,
    pub(crate) client_limits: Option<client_limits::Guest>,
    pub(crate) publish_interceptor: Option<publish_interceptor::Guest>,
    pub(crate) delivery_interceptor: Option<delivery_interceptor::Guest>,
    pub(crate) observer: Option<observer::Guest>,
    pub(crate) reconfiguration: Option<reconfiguration::Guest>,
}

/// Why an instance could not be made.
#[derive(Debug)]
pub(crate) enum BuildError {
    /// It needs more memory or tables than it may have.
    TooBig(Refusal),
    /// Its exports have other types than the contract's.
    WrongShape(String),
    /// It failed before `init` could answer.
    Failed(Failure),
    /// The names of its methods of enhanced authentication are no good.
    BadMethods(String),
    /// What this hook wants to see is no good.
    BadInterest(&'static str, String),
    /// `init` or `reconfigure` answered with an error.
    Refused(String),
    /// It failed before `reconfigure` could answer.
    Stuck(Failure),
    /// The operating system or the engine had no room.
    NoRoom(String),
}

impl Instance {
    /// Makes an instance and lets it initialise itself.
    pub(crate) fn build(plan: &Plan) -> Result<Self, BuildError> {
        let _running = plan.ticker.enter();
        let mut store = new_store(plan);
        begin(&mut store, "init", plan.limits.deadline_init, Subject::default());
        let instance = match plan.pre.instantiate(&mut store) {
            Ok(instance) => instance,
            Err(e) => {
                store.data_mut().end();
                return Err(instantiation_failed(&e, store.data()));
            }
        };
        let (lifecycle, hooks) =
            bind(plan, &mut store, &instance).map_err(|e| BuildError::WrongShape(chain(&e)))?;
        let answer = lifecycle.call_init(&mut store);
        store.data_mut().end();
        match answer {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Err(BuildError::Refused(reason)),
            Err(e) => return Err(BuildError::Failed(failure(&e, store.data()))),
        }
        plan.counters.built.count();
        store.data_mut().ledger.begin();
        Ok(Self { store, hooks, calls: 0, made: Instant::now() })
    }

    /// Has it take the settings of another plan for the same component. After an error it must not be called again.
    pub(crate) fn reconfigure(&mut self, plan: &Plan) -> Result<(), BuildError> {
        self.store.data_mut().resettle(Arc::clone(&plan.services));
        let (budget, subject) = (plan.limits.deadline_init, Subject::default());
        let answer = self.call(plan, "reconfigure", budget, subject, |hooks, store| {
            Some(hooks.reconfiguration.as_ref()?.call_reconfigure(store))
        });
        match answer {
            Ok(Ok(())) if self.was_refused_memory() => Err(BuildError::Stuck(Failure::Memory)),
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(BuildError::Refused(reason)),
            Err(failure) => Err(BuildError::Stuck(failure)),
        }
    }

    /// Calls a hook. After an error the instance must not be called again.
    pub(crate) fn call<R>(
        &mut self,
        plan: &Plan,
        name: &'static str,
        budget: Duration,
        subject: Subject,
        hook: impl FnOnce(&BoundHooks, &mut Store<Guest>) -> Option<wasmtime::Result<R>>,
    ) -> Result<R, Failure> {
        let _running = plan.ticker.enter();
        self.calls = self.calls.saturating_add(1);
        begin(&mut self.store, name, budget, subject);
        let result = hook(&self.hooks, &mut self.store);
        self.store.data_mut().end();
        match result {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(e)) => Err(failure(&e, self.store.data())),
            None => Err(Failure::NoHook),
        }
    }

    /// Begins a row of calls with [`call_now`](Self::call_now), all about one subject.
    pub(crate) fn open(&mut self, name: &'static str, subject: Subject) {
        self.store.data_mut().begin(name, Duration::ZERO, subject);
    }

    /// Calls a hook; the guest is stopped with the next tick but one. (With the next, a call that has just begun
    /// could be stopped.)
    pub(crate) fn call_now<R>(
        &mut self,
        name: &'static str,
        hook: impl FnOnce(&BoundHooks, &mut Store<Guest>) -> Called<R>,
    ) -> Result<R, Failure> {
        self.store.data_mut().goes_on_in(name);
        self.store.set_epoch_deadline(2);
        match hook(&self.hooks, &mut self.store) {
            Some(Ok(answer)) => answer,
            Some(Err(e)) => Err(failure(&e, self.store.data())),
            None => Err(Failure::NoHook),
        }
    }

    /// Ends the row, of so many calls.
    pub(crate) fn close(&mut self, calls: u32) {
        self.calls = self.calls.saturating_add(calls);
        self.store.data_mut().end();
    }

    /// Time since the last call began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.store.data().clock.elapsed()
    }

    /// Whether it has served its time, has hardly any memory left, or was refused some and may be in disorder.
    pub(crate) fn is_spent(&self, plan: &Plan) -> bool {
        let guest = self.store.data();
        self.calls >= plan.limits.recycle_after_calls
            || guest.clock.started().duration_since(self.made) >= plan.limits.recycle_after
            || guest.ledger.is_nearly_full()
            || self.was_refused_memory()
    }

    pub(crate) fn was_refused_memory(&self) -> bool {
        self.store.data().ledger.refused().is_some()
    }
}

fn new_store(plan: &Plan) -> Store<Guest> {
    let ledger = Ledger::new(&plan.limits, Arc::clone(&plan.counters));
    let guest = Guest::new(ledger, Arc::clone(&plan.services));
    let mut store = Store::new(plan.pre.engine(), guest);
    store.limiter(|guest| &mut guest.ledger);
    store.set_hostcall_fuel(plan.limits.transfer_bytes);
    store.set_max_component_handles(MAX_HANDLES);
    store.epoch_deadline_callback(|mut context| {
        Ok(match context.data_mut().clock.ticks_left() {
            Some(ticks) => UpdateDeadline::Continue(ticks),
            None => UpdateDeadline::Interrupt,
        })
    });
    store
}

fn begin(store: &mut Store<Guest>, hook: &'static str, budget: Duration, subject: Subject) {
    store.data_mut().begin(hook, budget, subject);
    store.set_epoch_deadline(ticks(budget));
}

fn bind(
    plan: &Plan,
    store: &mut Store<Guest>,
    instance: &ComponentInstance,
) -> wasmtime::Result<(lifecycle::Guest, BoundHooks)> {
    let exports = &plan.exports;
    let lifecycle = exports.lifecycle.load(&mut *store, instance)?;
    macro_rules! load {
        ($hook:ident) => {
            exports.$hook.as_ref().map(|e| e.load(&mut *store, instance)).transpose()?
        };
    }
    let hooks = BoundHooks {
        authenticator: load!(authenticator),
        enhanced_authenticator: load!(enhanced_authenticator),
        authorizer: load!(authorizer),
        batch_authorizer: load!(batch_authorizer),
        bulk_authorizer: load!(bulk_authorizer),
        client_limits: load!(client_limits),
        publish_interceptor: load!(publish_interceptor),
        delivery_interceptor: load!(delivery_interceptor),
        observer: load!(observer),
        reconfiguration: load!(reconfiguration),
    };
    Ok((lifecycle, hooks))
}

fn instantiation_failed(error: &wasmtime::Error, guest: &Guest) -> BuildError {
    match guest.ledger.refused() {
        Some(refusal) => BuildError::TooBig(refusal),
        None if error.downcast_ref::<Trap>().is_some() => BuildError::Failed(failure(error, guest)),
        None => BuildError::NoRoom(chain(error)),
    }
}

/// What an error of a call means. The guest's state tells more than the error: a guest that was refused memory
/// usually traps on purpose.
fn failure(error: &wasmtime::Error, guest: &Guest) -> Failure {
    if guest.clock.overrun() {
        Failure::Deadline
    } else if guest.ledger.refused().is_some() {
        Failure::Memory
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        Failure::Trap(trap.to_string())
    } else if let Some(ended) = error.downcast_ref::<Ended>() {
        Failure::Trap(ended.to_string())
    } else {
        Failure::InvalidAnswer(chain(error))
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &wasmtime::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    crate::log::printable(&causes.join(": "), crate::MAX_REASON_BYTES)
}
