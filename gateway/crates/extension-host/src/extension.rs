//! One loaded extension and its hooks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::breaker::Breaker;
use crate::cache::Cache;
use crate::convert;
use crate::error::LoadError;
use crate::guest::Services;
use crate::host::Host;
use crate::inspect::{self, Hooks};
use crate::instance::{BuildError, Plan, chain};
use crate::log::LogSink;
use crate::metrics::{Metric, Metrics};
use crate::pool::Pool;
use crate::spec::{ExtensionLimits, ExtensionSpec};
use crate::stats::{Counters, Stats};

/// A loaded extension. Cheap to clone; all clones are the same extension.
#[derive(Clone)]
pub struct Extension(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) name: String,
    pub(crate) limits: ExtensionLimits,
    hash: String,
    pub(crate) id: Arc<str>,
    hooks: Hooks,
    metrics: Arc<Mutex<Metrics>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pool: Mutex<Arc<Pool>>,
    pub(crate) authenticate: Mutex<Breaker>,
    pub(crate) step: Mutex<Breaker>,
    pub(crate) step_again: Mutex<Breaker>,
    pub(crate) authorize: Mutex<Breaker>,
    /// The permission set that was compiled last: most clients of an extension share a few.
    pub(crate) compiles: Mutex<Option<auth::Permissions>>,
}

impl Extension {
    pub(crate) fn load(host: &Host, spec: ExtensionSpec) -> Result<Self, LoadError> {
        check_limits(host, &spec)?;
        let hash = check_hash(&spec)?;
        let component = host.compile(&spec)?;
        inspect::check_imports(&spec.name, &component, &spec.grants)?;
        let hooks = inspect::find_hooks(&spec.name, &component)?;
        let pre = host
            .linker(&spec, &component)
            .and_then(|linker| linker.instantiate_pre(&component))
            .map_err(|e| LoadError::WrongWorld { extension: spec.name.clone(), why: chain(&e) })?;
        let exports = inspect::find_functions(&spec.name, &pre, hooks)?;

        let id: Arc<str> = format!("{}@{}", spec.name, hash.get(..8).unwrap_or(&hash)).into();
        let counters = Arc::new(Counters::default());
        let rate = spec.limits.log_bytes_per_second;
        let log = LogSink::new(Arc::clone(&id), rate, Arc::clone(&counters));
        let metrics = Arc::new(Mutex::new(Metrics::default()));
        let services = Services {
            grants: spec.grants,
            config: spec.config,
            log: Arc::new(log),
            gate: Arc::clone(&host.gate),
            gate_wait: host.settings.password_wait,
            nature: Arc::clone(&host.nature),
            cache: Arc::new(Mutex::new(Cache::new(spec.limits.cache_bytes))),
            metrics: Arc::clone(&metrics),
            counters: Arc::clone(&counters),
        };
        let plan = Plan {
            pre,
            exports,
            limits: spec.limits.clone(),
            services: Arc::new(services),
            counters: Arc::clone(&counters),
            ticker: Arc::clone(&host.ticker),
        };
        let pool = Pool::new(plan).map_err(|e| load_error(&spec.name, e))?;
        let breaker = || Mutex::new(Breaker::new(spec.limits.breaker.clone()));
        Ok(Self(Arc::new(Inner {
            hash,
            id,
            hooks,
            metrics,
            counters,
            pool: Mutex::new(Arc::new(pool)),
            authenticate: breaker(),
            step: breaker(),
            step_again: breaker(),
            authorize: breaker(),
            compiles: Mutex::new(None),
            name: spec.name,
            limits: spec.limits,
        })))
    }

    /// Name in `gateway.toml`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// SHA-256 of the component in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.0.hash
    }

    /// Name and first digits of the hash, as decisions and log lines show it: `acl@1a2b3c4d`.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.0.id
    }

    /// Which hooks it has.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.0.hooks
    }

    /// Whether it authenticates by this method of MQTT 5.0 section 4.12, with its present configuration.
    #[must_use]
    pub fn offers(&self, method: &str) -> bool {
        self.0.hooks.enhanced_authenticator && lock(&self.0.pool).methods().contains(method)
    }

    /// How many calls can be inside the guest together; one more waits, no longer than its deadline.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.0.limits.instances
    }

    /// What happened to it since it was loaded.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.counters.snapshot()
    }

    /// What it measures itself.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        lock(&self.0.metrics).all()
    }

    /// Gives the extension a new configuration: fresh instances are made with it aside and take over
    /// between two calls.
    ///
    /// # Errors
    /// The extension refuses the configuration or fails in `init`; it goes on with the old one.
    pub fn reconfigure(&self, config: BTreeMap<String, String>) -> Result<(), LoadError> {
        let inner = &*self.0;
        let running = Arc::clone(&lock(&inner.pool));
        let services = Services { config, ..Services::clone(&running.plan().services) };
        let plan = Plan { services: Arc::new(services), ..running.plan().clone() };
        drop(running);
        let pool = Pool::new(plan).map_err(|e| load_error(&inner.name, e))?;
        let old = std::mem::replace(&mut *lock(&inner.pool), Arc::new(pool));
        for breaker in [&inner.authenticate, &inner.step, &inner.step_again, &inner.authorize] {
            lock(breaker).succeeded();
        }
        drop(old);
        Ok(())
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Extension").field(&self.0.id).finish()
    }
}

fn check_limits(host: &Host, spec: &ExtensionSpec) -> Result<(), LoadError> {
    let most = host.settings.max_memory_bytes;
    let why = if spec.limits.memory_bytes > most {
        format!("`memory` is {} bytes; this gateway gives at most {most}", spec.limits.memory_bytes)
    } else if spec.limits.instances == 0 {
        "`instances` is 0; it takes at least 1".into()
    } else {
        return Ok(());
    };
    Err(LoadError::BadLimit { extension: spec.name.clone(), why })
}

fn check_hash(spec: &ExtensionSpec) -> Result<String, LoadError> {
    let found: [u8; 32] = Sha256::digest(&spec.component).into();
    match spec.sha256_pin {
        Some(pinned) if pinned != found => Err(LoadError::HashMismatch {
            extension: spec.name.clone(),
            pinned: hex(&pinned),
            found: hex(&found),
        }),
        _ => Ok(hex(&found)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
        BuildError::Failed(failure) => LoadError::InitTrapped { extension, failure },
        BuildError::Refused(reason) => {
            LoadError::InitFailed { extension, reason: convert::reason(&reason) }
        }
        BuildError::NoRoom(why) => LoadError::NoRoom { extension, why },
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
