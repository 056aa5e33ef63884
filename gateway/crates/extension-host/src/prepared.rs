//! A component that is ready to become an extension.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};
use wasmtime::component::InstancePre;

use crate::error::LoadError;
use crate::extension::Extension;
use crate::facilities::Facilities;
use crate::generation::{Generation, Shared};
use crate::guest::{Guest, Services};
use crate::host::Host;
use crate::inspect::{self, Hooks};
use crate::instance::{Exports, Plan, chain};
use crate::keyring::Keyring;
use crate::log::LogSink;
use crate::nature::Nature;
use crate::spec::ExtensionSpec;

/// A component that was compiled and checked against its grants, and of which nothing has run. Cheap to clone.
#[derive(Clone)]
pub struct Prepared {
    host: Host,
    spec: ExtensionSpec,
    hash: Arc<str>,
    hooks: Hooks,
    pre: InstancePre<Guest>,
    exports: Exports,
}

impl Prepared {
    pub(crate) fn new(host: &Host, spec: ExtensionSpec) -> Result<Self, LoadError> {
        check_limits(host, &spec)?;
        let hash = check_hash(&spec)?.into();
        let component = host.compile(&spec.name, &spec.component)?;
        inspect::check_imports(&spec.name, &component, &spec.grants)?;
        let hooks = inspect::find_hooks(&spec.name, &component)?;
        if let Some(attestation) = &spec.attestation {
            attestation.check(&spec.name, &component, hooks)?;
        }
        let pre = host
            .linker(&spec, &component)
            .and_then(|linker| linker.instantiate_pre(&component))
            .map_err(|e| LoadError::WrongWorld { extension: spec.name.clone(), why: chain(&e) })?;
        let exports = inspect::find_functions(&spec.name, &pre, hooks)?;
        Ok(Self { host: host.clone(), spec, hash, hooks, pre, exports })
    }

    /// Which hooks it has.
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Makes an extension of it, with these settings, this to reach and this time and chance. It shares nothing with
    /// others that were made of the same.
    ///
    /// # Errors
    /// The guest refuses its settings or fails in `init`, or there is no room for it.
    pub fn start(
        &self,
        config: BTreeMap<String, String>,
        keyring: Arc<Keyring>,
        facilities: Facilities,
        nature: Arc<dyn Nature>,
    ) -> Result<Extension, LoadError> {
        let host = self.host.clone().with_nature(nature);
        let spec = ExtensionSpec { config, keyring, facilities, ..self.spec.clone() };
        Extension::of(&Self { host, spec, ..self.clone() })
    }

    /// What all generations of an extension of it share.
    pub(crate) fn shared(&self) -> Shared {
        Shared::new(&self.spec)
    }

    /// Makes it the `number`th generation of an extension; see [`Generation::rehearse`].
    pub(crate) fn generation(
        &self,
        shared: &Shared,
        number: u32,
        rehearsal: bool,
    ) -> Result<Generation, LoadError> {
        let (host, spec) = (&self.host, &self.spec);
        let id = id(&spec.name, &self.hash, number);
        let counters = &shared.counters;
        let rate = spec.limits.log_bytes_per_second;
        let services = Services {
            grants: spec.grants.clone(),
            config: spec.config.clone(),
            keyring: Arc::clone(&spec.keyring),
            facilities: spec.facilities.clone(),
            rehearsal: Arc::new(AtomicBool::new(rehearsal)),
            log: Arc::new(LogSink::new(Arc::clone(&id), rate, Arc::clone(counters))),
            gate: Arc::clone(&host.gate),
            gate_wait: host.settings.password_wait,
            nature: Arc::clone(&host.nature),
            cache: Arc::clone(&shared.cache),
            metrics: Arc::clone(&shared.metrics),
            counters: Arc::clone(counters),
        };
        let plan = Plan {
            pre: self.pre.clone(),
            exports: self.exports.clone(),
            limits: spec.limits.clone(),
            services: Arc::new(services),
            counters: Arc::clone(counters),
            ticker: Arc::clone(&host.ticker),
        };
        Generation::start(plan, shared, id, Arc::clone(&self.hash), self.hooks)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// `acl@1a2b3c4d`, and from the second generation on `acl@1a2b3c4d.2`.
pub(crate) fn id(name: &str, hash: &str, number: u32) -> Arc<str> {
    let short = hash.get(..8).unwrap_or(hash);
    match number {
        0 | 1 => format!("{name}@{short}").into(),
        _ => format!("{name}@{short}.{number}").into(),
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
