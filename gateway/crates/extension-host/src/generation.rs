//! One version of an extension: a component with one configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crate::breaker::Breaker;
use crate::error::LoadError;
use crate::extension::lock;
use crate::facilities::Facilities;
use crate::guest::Services;
use crate::inspect::Hooks;
use crate::instance::{BuildError, Plan};
use crate::keyring::Keyring;
use crate::log::LogSink;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::pool::Pool;
use crate::prepared::id;
use crate::recorder::Recorder;
use crate::shelf::Shelf;
use crate::spec::{BreakerSettings, ExtensionLimits, ExtensionSpec};
use crate::stats::Counters;

/// What is compiled, configured and asked. A decision is that of exactly one generation.
pub(crate) struct Generation {
    pub(crate) id: Arc<str>,
    pub(crate) hash: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) hooks: Hooks,
    pub(crate) limits: ExtensionLimits,
    pub(crate) pool: Pool,
    pub(crate) breakers: Breakers,
    pub(crate) counters: Arc<Counters>,
    /// Of the authorizer.
    pub(crate) pace: Pace,
    /// Of the interceptors.
    pub(crate) intercepting_pace: Pace,
    /// The permission set that was compiled last: most clients of an extension share a few.
    pub(crate) compiles: Mutex<Option<auth::Permissions>>,
}

/// What all generations of an extension share.
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) cache: Arc<Shelf>,
    pub(crate) metrics: Arc<Mutex<Metrics>>,
    pub(crate) recorder: Recorder,
}

/// One breaker for each kind of caller: what a stranger can provoke does not stop the clients that are in.
pub(crate) struct Breakers {
    pub(crate) authenticate: Breaker,
    pub(crate) step: Breaker,
    pub(crate) step_again: Breaker,
    pub(crate) authorize: Breaker,
    pub(crate) intercept_publish: Breaker,
    pub(crate) intercept_delivery: Breaker,
    pub(crate) observe: Breaker,
}

impl Breakers {
    fn new(settings: &BreakerSettings) -> Self {
        let breaker = || Breaker::new(settings.clone());
        Self {
            authenticate: breaker(),
            step: breaker(),
            step_again: breaker(),
            authorize: breaker(),
            intercept_publish: breaker(),
            intercept_delivery: breaker(),
            observe: breaker(),
        }
    }
}

impl Shared {
    pub(crate) fn new(spec: &ExtensionSpec) -> Self {
        Self {
            name: spec.name.as_str().into(),
            counters: Arc::new(Counters::default()),
            cache: Arc::new(Shelf::new(spec.limits.cache_bytes)),
            metrics: Arc::new(Mutex::new(Metrics::default())),
            recorder: Recorder::default(),
        }
    }
}

impl Generation {
    /// The same component with another configuration, other keys and other facilities: in the instances that are idle,
    /// where it can take that, and else in a fresh one.
    pub(crate) fn reconfigured(
        &self,
        config: BTreeMap<String, String>,
        keyring: Arc<Keyring>,
        facilities: Facilities,
        shared: &Shared,
        number: u32,
    ) -> Result<Self, LoadError> {
        let running = self.pool.plan();
        let id = id(&shared.name, &self.hash, number);
        let rate = self.limits.log_bytes_per_second;
        let log = LogSink::new(Arc::clone(&id), rate, Arc::clone(&shared.counters));
        let services = Services {
            config,
            keyring,
            facilities,
            rehearsal: Arc::default(),
            log: Arc::new(log),
            ..Services::clone(&running.services)
        };
        let plan = Plan { services: Arc::new(services), ..running.clone() };
        let pool = match self.hooks.reconfiguration {
            true => Pool::taking_over(plan, &self.pool),
            false => Pool::new(plan),
        };
        Self::of(pool, shared, id, Arc::clone(&self.hash), self.hooks)
    }

    /// Makes the first instance, which shows that more can be made.
    pub(crate) fn start(
        plan: Plan,
        shared: &Shared,
        id: Arc<str>,
        hash: Arc<str>,
        hooks: Hooks,
    ) -> Result<Self, LoadError> {
        let cache = Arc::new(plan.services.cache.of_another_generation());
        let services = Services { cache, ..Services::clone(&plan.services) };
        let plan = Plan { services: Arc::new(services), ..plan };
        Self::of(Pool::new(plan), shared, id, hash, hooks)
    }

    fn of(
        pool: Result<Pool, BuildError>,
        shared: &Shared,
        id: Arc<str>,
        hash: Arc<str>,
        hooks: Hooks,
    ) -> Result<Self, LoadError> {
        let pool = pool.map_err(|e| load_error(&shared.name, e))?;
        let limits = pool.plan().limits.clone();
        Ok(Self {
            id,
            hash,
            name: Arc::clone(&shared.name),
            hooks,
            breakers: Breakers::new(&limits.breaker),
            limits,
            pool,
            counters: Arc::clone(&shared.counters),
            pace: Pace::unknown(),
            intercepting_pace: Pace::unknown(),
            compiles: Mutex::new(None),
        })
    }

    /// Says whether its decisions are only compared. Nothing comes of what it does then, besides requests to servers: it has
    /// a cache of its own, which goes when the rehearsal ends, and changes no metric.
    pub(crate) fn rehearse(&self, rehearsal: bool) {
        let services = &self.pool.plan().services;
        services.rehearsal.store(rehearsal, Ordering::Relaxed);
        if !rehearsal {
            services.cache.forget_rehearsal();
        }
    }

    /// Whether none of its capabilities can make it wait.
    pub(crate) fn never_waits(&self) -> bool {
        !self.pool.plan().services.grants.iter().any(|grant| grant.may_wait())
    }

    /// Whether rules compile, so that whoever gets them can rely on it.
    pub(crate) fn check_rules(&self, permissions: &auth::Permissions) -> Result<(), String> {
        let mut last = lock(&self.compiles);
        if last.as_ref() == Some(permissions) {
            return Ok(());
        }
        auth::PermissionSet::compile(permissions).map_err(|e| e.to_string())?;
        *last = Some(permissions.clone());
        Ok(())
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Generation").field(&self.id).finish()
    }
}

pub(crate) fn load_error(extension: &str, error: BuildError) -> LoadError {
    let extension = extension.to_owned();
    match error {
        BuildError::TooBig(refusal) => LoadError::TooBig {
            extension,
            what: refusal.what,
            wanted: refusal.wanted,
            limit: refusal.limit,
        },
        BuildError::WrongShape(why) => LoadError::WrongWorld { extension, why },
        BuildError::BadMethods(why) => LoadError::BadMethods { extension, why },
        BuildError::BadInterest(hook, why) => LoadError::BadInterest { extension, hook, why },
        BuildError::Stuck(failure) => LoadError::ReconfigureTrapped { extension, failure },
        BuildError::Failed(failure) => LoadError::InitTrapped { extension, failure },
        BuildError::Refused(reason) => {
            LoadError::InitFailed { extension, reason: crate::convert::reason(&reason) }
        }
        BuildError::NoRoom(why) => LoadError::NoRoom { extension, why },
    }
}
