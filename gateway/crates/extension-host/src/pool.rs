//! The warm instances of one extension with one configuration.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::generation::load_error;
use crate::instance::{BuildError, Instance, Plan};
use crate::interests::Interests;
use crate::methods::Methods;

/// Instances are made when no other is free, up to the limit, and kept: the one used last is used next, so that
/// a quiet extension stays as small as it can.
pub(crate) struct Pool {
    plan: Plan,
    methods: Methods,
    interests: Interests,
    seats: Mutex<Seats>,
    freed: Condvar,
}

struct Seats {
    /// Each with the thread that used it last.
    idle: Vec<(Desk, Instance)>,
    busy: usize,
    /// Callers that wait: waking nobody costs a system call too.
    waiting: usize,
}

/// A thread, told apart from the others that there are.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Desk(usize);

impl Desk {
    /// That of the caller.
    fn here() -> Self {
        thread_local! {
            static PLACE: u8 = const { 0 };
        }
        PLACE.with(|place| Self(std::ptr::from_ref(place).addr()))
    }
}

impl Seats {
    /// The idle instance that this thread used last, whose memory its processor may still have at hand; otherwise the one that was
    /// used last.
    fn pop(&mut self) -> Option<Instance> {
        let here = Desk::here();
        let own = self.idle.iter().rposition(|(desk, _)| *desk == here);
        let place = own.or(self.idle.len().checked_sub(1))?;
        Some(self.idle.remove(place).1)
    }
}

/// Why there is no instance for a call.
pub(crate) enum NoSeat {
    /// None became free in time.
    Saturated,
    /// A fresh one could not be made.
    Build(BuildError),
}

impl Pool {
    /// A pool with one instance, which shows that more can be made.
    pub(crate) fn new(plan: Plan) -> Result<Self, BuildError> {
        let first = Instance::build(&plan)?;
        Self::begin(plan, first)
    }

    /// A pool for the same component with other settings: the idle instances of another take them as they are. The first
    /// one decides; it must not be called again if it refuses. Where none is idle a fresh one shows that more can be made.
    pub(crate) fn taking_over(plan: Plan, from: &Self) -> Result<Self, BuildError> {
        let Some(mut first) = from.release() else { return Self::new(plan) };
        first.reconfigure(&plan)?;
        let pool = Self::begin(plan, first)?;
        let mut taken = Vec::new();
        while taken.len() + 1 < pool.plan.limits.instances
            && let Some(mut next) = from.release()
        {
            match next.reconfigure(&pool.plan) {
                Ok(()) => taken.push(next),
                Err(error) => {
                    let extension = &**pool.plan.services.log.extension();
                    let error = load_error(extension, error);
                    tracing::warn!(extension, %error, "instance did not take new settings; it is gone");
                }
            }
        }
        // The one that was used last is used next.
        let mut seats = pool.lock();
        taken.reverse();
        seats.idle.splice(0..0, taken.into_iter().map(|it| (Desk::here(), it)));
        drop(seats);
        Ok(pool)
    }

    /// A pool whose only instance is this one, which says what depends on its settings.
    fn begin(plan: Plan, mut first: Instance) -> Result<Self, BuildError> {
        let methods = Methods::of(&mut first, &plan)?;
        let interests = Interests::of(&mut first, &plan)?;
        let idle = vec![(Desk::here(), first)];
        let seats = Mutex::new(Seats { idle, busy: 0, waiting: 0 });
        Ok(Self { plan, methods, interests, seats, freed: Condvar::new() })
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn methods(&self) -> &Methods {
        &self.methods
    }

    pub(crate) fn interests(&self) -> &Interests {
        &self.interests
    }

    /// An instance for one call, after at most `wait`.
    pub(crate) fn take(&self, wait: Duration) -> Result<Seat<'_>, NoSeat> {
        let mut until = None;
        let mut seats = self.lock();
        loop {
            if let Some(instance) = seats.pop() {
                seats.busy += 1;
                return Ok(Seat { pool: self, instance: Some(instance) });
            }
            if seats.busy < self.plan.limits.instances {
                seats.busy += 1;
                drop(seats);
                let mut seat = Seat { pool: self, instance: None };
                seat.instance = Some(Instance::build(&self.plan).map_err(NoSeat::Build)?);
                return Ok(seat);
            }
            let until = *until.get_or_insert_with(|| Instant::now() + wait);
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return Err(NoSeat::Saturated);
            };
            seats.waiting += 1;
            seats = self.freed.wait_timeout(seats, left).unwrap_or_else(PoisonError::into_inner).0;
            seats.waiting -= 1;
        }
    }

    /// An instance that is free now, until [`give_back`](Self::give_back).
    pub(crate) fn take_idle(&self) -> Option<Instance> {
        let mut seats = self.lock();
        let instance = seats.pop()?;
        seats.busy += 1;
        Some(instance)
    }

    /// An instance that is free now and does not belong to this pool any more.
    fn release(&self) -> Option<Instance> {
        let instance = self.take_idle()?;
        self.give_back(None);
        Some(instance)
    }

    /// Ends a use of an instance, which is nothing if it was discarded.
    pub(crate) fn give_back(&self, instance: Option<Instance>) {
        let mut seats = self.lock();
        seats.busy -= 1;
        seats.idle.extend(instance.map(|instance| (Desk::here(), instance)));
        let waiting = seats.waiting > 0;
        drop(seats);
        if waiting {
            self.freed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the pool; it goes back when this is dropped, with its instance unless that was discarded.
pub(crate) struct Seat<'a> {
    pool: &'a Pool,
    instance: Option<Instance>,
}

impl Seat<'_> {
    pub(crate) fn instance(&mut self) -> Option<&mut Instance> {
        self.instance.as_mut()
    }

    /// Throws the instance away; a fresh one is made when it is needed.
    pub(crate) fn discard(&mut self) {
        self.instance = None;
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.pool.give_back(self.instance.take());
    }
}
