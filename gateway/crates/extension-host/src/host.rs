//! The engine that all extensions share.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, ModuleVersionStrategy};

use crate::bindings::portcullis::{gateway, host};
use crate::error::{HostError, LoadError};
use crate::extension::Extension;
use crate::gate::Gate;
use crate::guest::Guest;
use crate::kind::WASMTIME;
use crate::nature::{Machine, Nature};
use crate::prepared::Prepared;
use crate::space::AddressSpace;
use crate::spec::{Capability, ExtensionSpec};
use crate::ticker::Ticker;
use crate::wasi;
use crate::workshop::Workshop;

/// Bytes of a component at most. The largest in use, with a Python interpreter inside, have 19 MB.
pub const MAX_COMPONENT_BYTES: usize = 64 << 20;

/// Bytes of one memory at most. A kernel with 39 bits of addresses has room for thousands of these, and for about a
/// hundred of what the engine would take by default.
const MAX_MEMORY_BYTES: usize = 64 << 20;

/// Bytes of a calling thread's stack that a guest may use; calling threads need as much again.
const GUEST_STACK_BYTES: usize = 512 << 10;

/// What the engine is set up for. The same for all extensions of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Bytes of memory that any instance may have.
    pub max_memory_bytes: usize,
    /// How memories are laid out.
    pub space: AddressSpace,
    /// Password checks at a time.
    pub password_checks: usize,
    /// How long a password check waits for its turn.
    pub password_wait: Duration,
}

impl Default for EngineSettings {
    /// Half the processors check passwords, so that the rest keep serving the clients that are in.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            max_memory_bytes: MAX_MEMORY_BYTES,
            space: AddressSpace::Ample,
            password_checks: processors.div_ceil(2),
            password_wait: Duration::from_secs(5),
        }
    }
}

/// The engine, its clock, and what all extensions share. Cheap to clone; the clock's thread ends with the last
/// clone and the last extension.
#[derive(Clone)]
pub struct Host {
    pub(crate) engine: Engine,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) settings: EngineSettings,
    pub(crate) nature: Arc<dyn Nature>,
    /// Where code is kept and compiled; here, and kept nowhere, if none.
    pub(crate) workshop: Option<Arc<dyn Workshop>>,
}

impl Host {
    /// Sets up the engine and starts its clock.
    ///
    /// # Errors
    /// The settings are beyond what the engine does here, or no thread can be started.
    pub fn new(settings: EngineSettings) -> Result<Self, HostError> {
        if settings.max_memory_bytes > MAX_MEMORY_BYTES {
            return Err(HostError::Engine(format!(
                "max_memory_bytes is {}, the most is {MAX_MEMORY_BYTES}",
                settings.max_memory_bytes
            )));
        }
        let engine =
            Engine::new(&config(&settings)).map_err(|e| HostError::Engine(format!("{e:#}")))?;
        let ticker = Ticker::start({
            let engine = engine.clone();
            move || engine.increment_epoch()
        })
        .map_err(HostError::Ticker)?;
        Ok(Self {
            engine,
            ticker: Arc::new(ticker),
            gate: Arc::new(Gate::new(settings.password_checks)),
            settings,
            nature: Arc::new(Machine::new()),
            workshop: None,
        })
    }

    /// The same engine with another source of time and random numbers, for what is loaded from now on.
    #[must_use]
    pub fn with_nature(self, nature: Arc<dyn Nature>) -> Self {
        Self { nature, ..self }
    }

    /// The same engine with a place for compiled code and a process to compile in, for what is loaded from now on.
    #[must_use]
    pub fn with_workshop(self, workshop: Arc<dyn Workshop>) -> Self {
        Self { workshop: Some(workshop), ..self }
    }

    /// Compiles a component, checks it against its grants and the contract, makes its first instance and
    /// lets that initialise itself. Takes from milliseconds to seconds, by the size of the component.
    ///
    /// # Errors
    /// One of the sentences of [`LoadError`]. Nothing remains of the component then.
    pub fn load(&self, spec: ExtensionSpec) -> Result<Extension, LoadError> {
        Extension::load(self, spec)
    }

    /// Compiles a component and checks it as [`load`](Self::load) does, and leaves it at that.
    ///
    /// # Errors
    /// As for [`load`](Self::load), but for what only shows when the guest runs.
    pub fn prepare(&self, spec: ExtensionSpec) -> Result<Prepared, LoadError> {
        Prepared::new(self, spec)
    }

    /// A linker with what is granted, an empty WASI, and nothing else.
    pub(crate) fn linker(
        &self,
        spec: &ExtensionSpec,
        component: &Component,
    ) -> wasmtime::Result<Linker<Guest>> {
        let mut linker = Linker::new(&self.engine);
        gateway::types::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        wasi::link(&mut linker, component)?;
        for capability in &spec.grants {
            let add = match capability {
                Capability::Log => host::log::add_to_linker::<_, HasSelf<Guest>>,
                Capability::Config => host::config::add_to_linker::<_, HasSelf<Guest>>,
                Capability::Credentials => host::credentials::add_to_linker::<_, HasSelf<Guest>>,
                Capability::Clock => host::clock::add_to_linker::<_, HasSelf<Guest>>,
                Capability::Random => host::random::add_to_linker::<_, HasSelf<Guest>>,
                Capability::Cache => host::cache::add_to_linker::<_, HasSelf<Guest>>,
                Capability::Metrics => host::metrics::add_to_linker::<_, HasSelf<Guest>>,
                Capability::KeyValue => host::key_value::add_to_linker::<_, HasSelf<Guest>>,
                Capability::Http => host::http::add_to_linker::<_, HasSelf<Guest>>,
                Capability::Broker => gateway::broker::add_to_linker::<_, HasSelf<Guest>>,
            };
            add(&mut linker, |guest| guest)?;
        }
        Ok(linker)
    }
}

/// What guests of today's toolchains do not need is off.
pub(crate) fn config(settings: &EngineSettings) -> Config {
    let mut config = Config::new();
    settings.space.configure(&mut config, settings.max_memory_bytes);
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .gc_support(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_relaxed_simd(false)
        .shared_memory(false);
    #[cfg(feature = "compiler")]
    config.cranelift_opt_level(wasmtime::OptLevel::Speed);
    // By itself the engine compares the first number of its version only. The text is short enough.
    let _ = config.module_version(ModuleVersionStrategy::Custom(WASMTIME.to_owned()));
    config
}
