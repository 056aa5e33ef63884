//! One extension, through all of its generations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::answer::{
    Answer, AuthenticationOutcome, Continuation, Failure, Progress, Publication, Step,
    SubscriptionRequest, Verdict,
};
use crate::asked::{Asked, Entry, Question};
use crate::connecting::Connecting;
use crate::error::LoadError;
use crate::facilities::Facilities;
use crate::generation::{Generation, Shared};
use crate::host::Host;
use crate::inspect::Hooks;
use crate::keyring::Keyring;
use crate::metrics::Metric;
use crate::prepared::Prepared;
use crate::recorder::RecordingPart;
use crate::recording::{RecordedCall, RecordingHeader, StandIn};
use crate::rollout::{Candidate, CandidateStatus, Mode, Rollout};
use crate::said::Said;
use crate::sitting::Sitting;
use crate::spec::ExtensionSpec;
use crate::stats::Stats;
use crate::tape::Tape;

/// A loaded extension. Cheap to clone; all clones are the same extension.
#[derive(Clone)]
pub struct Extension(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    shared: Shared,
    pub(crate) rollout: Mutex<Rollout>,
    /// That of the rollout, to be read without its lock.
    revision: Arc<AtomicU64>,
}

impl Extension {
    pub(crate) fn load(host: &Host, spec: ExtensionSpec) -> Result<Self, LoadError> {
        Self::of(&Prepared::new(host, spec)?)
    }

    /// The extension whose first generation is what was prepared.
    pub(crate) fn of(prepared: &Prepared) -> Result<Self, LoadError> {
        let shared = prepared.shared();
        let rollout = Rollout::new(prepared.generation(&shared, 1, false)?);
        let revision = rollout.revision();
        Ok(Self(Arc::new(Inner { shared, rollout: Mutex::new(rollout), revision })))
    }

    /// Name in `gateway.toml`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.shared.name
    }

    /// SHA-256 of the component in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> Arc<str> {
        Arc::clone(&self.current().hash)
    }

    /// Name and first digits of the hash, as decisions and log lines show it: `acl@1a2b3c4d`, and with a number
    /// from the second generation on: `acl@1a2b3c4d.2`.
    #[must_use]
    pub fn id(&self) -> Arc<str> {
        Arc::clone(&self.current().id)
    }

    /// Which hooks it has.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.current().hooks
    }

    /// Whether it authenticates by this method of MQTT 5.0 section 4.12, with its present configuration.
    #[must_use]
    pub fn offers(&self, method: &str) -> bool {
        let current = self.current();
        current.hooks.enhanced_authenticator && current.pool.methods().contains(method)
    }

    /// How many calls can be inside the guest together; one more waits, no longer than its deadline.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.current().limits.instances
    }

    /// What happened to it since it was loaded.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.shared.counters.snapshot()
    }

    /// What it measures itself.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        lock(&self.0.shared.metrics).all()
    }

    /// Begins to record what it is asked, what it says, and what it gets from the gateway for it, for this long. None
    /// if a recording is under way. `key` makes stand-ins for passwords and tokens and is kept nowhere; without one
    /// they are recorded as they are.
    ///
    /// Steps of enhanced authentication are not recorded: what they say depends on challenges of the moment.
    pub fn record(&self, time: Duration, key: Option<[u8; 32]>) -> Option<RecordingHeader> {
        let secrets = key.is_none();
        self.0.shared.recorder.begin(time, key.map(StandIn::new)).then(|| RecordingHeader {
            extension: self.name().to_owned(),
            version: self.running().as_ref().to_owned(),
            began_ms: now_ms(),
            secrets,
        })
    }

    /// What was recorded since the last time, at most about so many bytes. None if there is no recording, or its
    /// last part was taken.
    pub fn take_recording(&self, bytes: usize) -> Option<RecordingPart> {
        self.0.shared.recorder.take(bytes)
    }

    /// The generation that decides where none is tried.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(lock(&self.0.rollout).running())
    }

    fn current(&self) -> Arc<Generation> {
        Arc::clone(lock(&self.0.rollout).current())
    }
}

/// New generations. Each is made aside, and takes over between two calls.
impl Extension {
    /// Gives the extension a new configuration, a keyring and facilities at once, without a trial.
    ///
    /// # Errors
    /// The extension refuses the configuration or fails in `init`; it goes on with the old one.
    pub fn reconfigure(
        &self,
        config: BTreeMap<String, String>,
        keyring: Arc<Keyring>,
        facilities: Facilities,
    ) -> Result<(), LoadError> {
        let (current, number) = self.next();
        let fresh = current.reconfigured(config, keyring, facilities, &self.0.shared, number)?;
        let mut rollout = lock(&self.0.rollout);
        rollout.begin(Arc::new(fresh), Mode::Trial(Duration::ZERO));
        rollout.promote();
        Ok(())
    }

    /// Compiles and starts a new generation and has it tried as `mode` says. It takes the place of any other
    /// that is being tried. Takes as long as loading does, and no call waits for it.
    ///
    /// # Errors
    /// What [`Host::load`] says, or that a hook which the running generation has is missing. Nothing changes then.
    pub fn introduce(&self, host: &Host, spec: ExtensionSpec, mode: Mode) -> Result<(), LoadError> {
        let (current, number) = self.next();
        let rehearsal = mode == Mode::Shadow;
        let fresh = Generation::load(host, spec, &self.0.shared, number, rehearsal)?;
        if let Some(hook) = current.hooks.lacks(fresh.hooks) {
            return Err(LoadError::LostHook { extension: self.name().into(), hook });
        }
        let candidate = lock(&self.0.rollout).begin(Arc::new(fresh), mode);
        let (extension, running) = (&*candidate.generation.id, &*current.id);
        tracing::info!(extension, running, ?mode, "extension version is tried");
        Ok(())
    }

    /// The generation that is being tried takes over; answers whether there is one.
    pub fn promote(&self) -> bool {
        lock(&self.0.rollout).promote()
    }

    /// Drops the generation that is being tried; answers its name if there is one.
    pub fn abandon(&self) -> Option<Arc<str>> {
        let candidate = lock(&self.0.rollout).abandon();
        candidate.map(|candidate| Arc::clone(&candidate.generation.id))
    }

    /// Name of the generation that decides where none is tried.
    #[must_use]
    pub fn running(&self) -> Arc<str> {
        Arc::clone(&lock(&self.0.rollout).running().id)
    }

    /// What is being tried.
    #[must_use]
    pub fn candidate(&self) -> Option<CandidateStatus> {
        lock(&self.0.rollout).candidate().map(|candidate| candidate.status())
    }

    fn next(&self) -> (Arc<Generation>, u32) {
        let mut rollout = lock(&self.0.rollout);
        rollout.number += 1;
        (Arc::clone(rollout.current()), rollout.number)
    }
}

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
    /// longer than some ten microseconds, has no free instance, a new version of it is being tried, or it is recorded.
    #[must_use]
    pub fn sit(&self, who: &Arc<auth::Identity>, connection: &Arc<Connecting>) -> Option<Sitting> {
        if self.0.shared.recorder.is_on() {
            return None;
        }
        let generation = lock(&self.0.rollout).undisputed()?;
        Sitting::begin(generation, who, connection)
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
        let mut tape = self.0.shared.recorder.tape();
        let mut result = ask(&turn.first, tape.as_ref());
        let mut by = Arc::clone(&turn.first.id);
        let mut shadow = None;
        if let Some(candidate) = &turn.candidate {
            match &turn.fallback {
                Some(running) => {
                    candidate.tally.decisions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if let Err(failure) = &result
                        && failure.is_regression()
                    {
                        let again = self.0.shared.recorder.tape();
                        let second = ask(running, again.as_ref());
                        if !second.as_ref().is_err_and(Failure::is_regression) {
                            self.regressed(candidate, failure);
                            (result, tape) = (second, again);
                            by = Arc::clone(&running.id);
                        }
                    }
                }
                None => shadow = candidate.shadow.as_ref(),
            }
        }
        let took = began.elapsed();
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

    fn record_call(&self, tape: &Tape, asked: Asked, said: Said, by: &Arc<str>) {
        let at_ms = now_ms();
        let call = |calls| RecordedCall { at_ms, by: Arc::clone(by), asked, said, calls };
        self.0.shared.recorder.keep(tape.calls().map(call));
    }

    /// A candidate failed where the running generation did not.
    fn regressed(&self, candidate: &Arc<Candidate>, failure: &Failure) {
        let (dropped, running) = {
            let mut rollout = lock(&self.0.rollout);
            let dropped = rollout.regressed(candidate);
            (dropped, Arc::clone(&rollout.running().id))
        };
        let extension = &*candidate.generation.id;
        if dropped {
            self.0.shared.counters.rolled_back.count();
            tracing::error!(extension, %running, %failure, "extension version rolled back");
        } else {
            tracing::warn!(extension, %running, %failure, "extension version failed; the running one answered");
        }
    }
}

fn now_ms() -> u64 {
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

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Extension").field(&self.id()).finish()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
