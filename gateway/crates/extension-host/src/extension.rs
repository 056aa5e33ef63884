//! One extension, through all of its generations.

mod asking;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::LoadError;
use crate::facilities::Facilities;
use crate::generation::{Generation, Shared};
use crate::host::Host;
use crate::inspect::Hooks;
use crate::interception::Interest;
use crate::interests::Interests;
use crate::keyring::Keyring;
use crate::metrics::Metric;
use crate::prepared::Prepared;
use crate::recorder::RecordingPart;
use crate::recording::{RecordingHeader, StandIn};
use crate::rollout::{Candidate, CandidateStatus, Mode, Rollout};
use crate::spec::ExtensionSpec;
use crate::stats::Stats;

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

    /// What its publish interceptor wants to see; none without the hook. While a new version is tried: what either of the
    /// two wants to see.
    #[must_use]
    pub fn publish_interest(&self) -> Option<Arc<Interest>> {
        self.interest(|interests| interests.publish.as_ref())
    }

    /// The same of its delivery interceptor.
    #[must_use]
    pub fn delivery_interest(&self) -> Option<Arc<Interest>> {
        self.interest(|interests| interests.delivery.as_ref())
    }

    fn interest(&self, of: impl Fn(&Interests) -> Option<&Arc<Interest>>) -> Option<Arc<Interest>> {
        let rollout = lock(&self.0.rollout);
        let running = of(rollout.running().pool.interests());
        let candidate = rollout.candidate().map(|candidate| candidate.generation.pool.interests());
        match (running, candidate.and_then(of)) {
            (Some(running), Some(other)) => Some(Arc::new(running.union(other))),
            (one, other) => one.or(other).cloned(),
        }
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
    /// if a recording is under way. `key` makes stand-ins for passwords, tokens and what is in messages, and is kept nowhere;
    /// without one they are recorded as they are.
    ///
    /// Steps of enhanced authentication are not recorded: what they say depends on challenges of the moment. Nor is what
    /// an observer is told.
    pub fn record(&self, time: Duration, key: Option<[u8; 32]>) -> Option<RecordingHeader> {
        let secrets = key.is_none();
        self.0.shared.recorder.begin(time, key.map(StandIn::new)).then(|| RecordingHeader {
            extension: self.name().to_owned(),
            version: self.running().as_ref().to_owned(),
            began_ms: asking::now_ms(),
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
    /// Gives the extension a new configuration, a keyring and facilities at once, without a trial. A guest with `reconfiguration`
    /// takes them in the instances that are idle, which go on with what they have in memory; those that are busy serve
    /// out their calls, and go.
    ///
    /// Where a version is tried for all clients, it and the one that it may be taken back to both get them, and the trial goes
    /// on. One that only watches, or decides for some, goes.
    ///
    /// # Errors
    /// The extension refuses the configuration or fails in `init` or `reconfigure`; it goes on with the old one. Of two
    /// versions it is the one that is tried which has to take it.
    pub fn reconfigure(
        &self,
        config: BTreeMap<String, String>,
        keyring: Arc<Keyring>,
        facilities: Facilities,
    ) -> Result<(), LoadError> {
        let remake = |generation: &Generation, number| {
            let (config, keyring) = (config.clone(), Arc::clone(&keyring));
            let facilities = facilities.clone();
            generation.reconfigured(config, keyring, facilities, &self.0.shared, number)
        };
        let Some((candidate, running)) = self.on_trial() else {
            let (_, number) = self.next();
            let fresh = remake(&self.generation(), number)?;
            lock(&self.0.rollout).resettle(Some(Arc::new(fresh)), None);
            return Ok(());
        };
        let (_, number) = self.next();
        let fresh = remake(&candidate.generation, number)?;
        let (_, number) = self.next();
        let below = remake(&running, number)
            .inspect_err(|error| {
                let extension = &*running.id;
                tracing::warn!(extension, %error, "version that a trial may be taken back to keeps its configuration");
            })
            .ok()
            .map(Arc::new);
        lock(&self.0.rollout).resettle(below, Some((&candidate, Arc::new(fresh))));
        Ok(())
    }

    /// Compiles and starts a new generation and has it tried as `mode` says. It takes the place of any other
    /// that is being tried. Takes as long as loading does, and no call waits for it.
    ///
    /// # Errors
    /// What [`Host::load`] says, or that a hook which the running generation has is missing. Nothing changes then.
    pub fn introduce(&self, host: &Host, spec: ExtensionSpec, mode: Mode) -> Result<(), LoadError> {
        self.introduce_prepared(&host.prepare(spec)?, mode)
    }

    /// The same with a component that is compiled already, and was looked at.
    ///
    /// # Errors
    /// It fails in `init`, or a hook which the running generation has is missing. Nothing changes then.
    pub fn introduce_prepared(&self, prepared: &Prepared, mode: Mode) -> Result<(), LoadError> {
        let (current, number) = self.next();
        if let Some(hook) = current.hooks.lacks(prepared.hooks()) {
            return Err(LoadError::LostHook { extension: self.name().into(), hook });
        }
        let rehearsal = mode == Mode::Shadow;
        let fresh = prepared.generation(&self.0.shared, number, rehearsal)?;
        let candidate = lock(&self.0.rollout).begin(Arc::new(fresh), mode);
        let (extension, running) = (&*candidate.generation.id, &*current.id);
        tracing::info!(extension, running, ?mode, "extension version is tried");
        Ok(())
    }

    /// The generation that is being tried takes over; answers whether there is one.
    ///
    /// Waits for a decision that a shadow is making: what comes of it must not count, and from then on everything does.
    pub fn promote(&self) -> bool {
        let candidate = lock(&self.0.rollout).candidate().cloned();
        if let Some(shadow) = candidate.as_ref().and_then(|candidate| candidate.shadow.as_ref()) {
            shadow.stop();
        }
        lock(&self.0.rollout).promote()
    }

    /// Whether the version that was tried last was taken back because it failed, and no other has been tried since.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        lock(&self.0.rollout).is_rolled_back()
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

    /// What is tried for all clients, and what runs below it.
    fn on_trial(&self) -> Option<(Arc<Candidate>, Arc<Generation>)> {
        let rollout = lock(&self.0.rollout);
        let candidate = rollout.candidate().filter(|it| matches!(it.mode, Mode::Trial(_)))?;
        Some((Arc::clone(candidate), Arc::clone(rollout.running())))
    }

    fn next(&self) -> (Arc<Generation>, u32) {
        let mut rollout = lock(&self.0.rollout);
        rollout.number += 1;
        (Arc::clone(rollout.current()), rollout.number)
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Extension").field(&self.id()).finish()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
