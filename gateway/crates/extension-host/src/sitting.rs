//! Some questions in a row to one instance, on the thread of a caller that has others to serve.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::answer::{Failure, Publication, Verdict};
use crate::ask::Hook;
use crate::connecting::Connecting;
use crate::generation::Generation;
use crate::instance::Instance;
use crate::questions::subject;
use crate::ticker::{Presence, TICK};

/// What an answer that did not come in time has taken at least.
const LATE: Duration = TICK;

/// An instance that is at its caller's disposal. Keep it short: it is missing elsewhere.
pub struct Sitting {
    generation: Arc<Generation>,
    who: Arc<auth::Identity>,
    connection: Arc<Connecting>,
    /// None after a fault.
    instance: Option<Instance>,
    began: Instant,
    answers: u32,
    _presence: Presence,
}

impl Sitting {
    pub(crate) fn begin(
        generation: Arc<Generation>,
        who: &Arc<auth::Identity>,
        connection: &Arc<Connecting>,
    ) -> Option<Self> {
        if !generation.is_quick()
            || connection.check_size(0).is_err()
            || generation.admit(Hook::Authorize).is_err()
        {
            return None;
        }
        let mut instance = generation.pool.take_idle()?;
        instance.open(Hook::Authorize.name(), subject(who, connection, None));
        Some(Self {
            _presence: generation.pool.plan().ticker.stay(),
            generation,
            who: Arc::clone(who),
            connection: Arc::clone(connection),
            instance: Some(instance),
            began: Instant::now(),
            answers: 0,
        })
    }

    /// Name and hash of the generation that answers.
    #[must_use]
    pub fn by(&self) -> &Arc<str> {
        &self.generation.id
    }

    /// How many questions it can answer before others should have their turn on the thread, at the pace that it had
    /// until now: those of two milliseconds.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.generation.pace.in_two_ms()
    }

    /// Asks about a publish. None if the answer did not come with the next tick of the deadlines' clock, and for
    /// every question after that or after a fault: ask as [`crate::Extension::authorize_publish`] does then.
    pub fn authorize_publish(
        &mut self,
        what: &Publication<'_>,
    ) -> Option<Result<Verdict, Failure>> {
        let (generation, who, connection) = (&self.generation, &self.who, &self.connection);
        let instance = self.instance.as_mut()?;
        let result = instance.call_now(|hooks, store| {
            generation.call_authorize_publish(hooks, store, who, connection, what)
        });
        self.answers += 1;
        match result {
            Err(failure) if failure.is_fault() => {
                self.instance = None;
                if failure == Failure::Deadline {
                    // On a busy machine it may be the thread that was kept waiting. If not, the question will be late
                    // where it may wait too, and spoils the guest's name there.
                    generation.pace.note(LATE);
                    return None;
                }
                generation.pace.spoil();
                let result = Err(failure);
                generation.settle(Hook::Authorize, &result);
                Some(result)
            }
            Err(failure) => {
                let result = Err(failure);
                generation.settle(Hook::Authorize, &result);
                Some(result)
            }
            answer => Some(answer),
        }
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        let generation = &self.generation;
        generation.counters.calls.add(u64::from(self.answers));
        let mut instance = self.instance.take();
        if let Some(kept) = &mut instance {
            kept.close(self.answers);
            if let Some(each) = self.began.elapsed().checked_div(self.answers) {
                generation.pace.note(each);
                generation.settle(Hook::Authorize, &Ok(()));
            }
        }
        let plan = generation.pool.plan();
        generation.pool.give_back(instance.filter(|instance| !instance.is_spent(plan)));
    }
}

impl fmt::Debug for Sitting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sitting").field(&self.generation.id).finish()
    }
}
