//! What an operator says about one extension.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::attestation::Attestation;
use crate::facilities::Facilities;
use crate::keyring::Keyring;

/// All that is needed to load one extension.
#[derive(Clone)]
pub struct ExtensionSpec {
    /// Name in `gateway.toml`: appears in every log line and decision.
    pub name: String,
    /// A portable WebAssembly component. Code that was compiled ahead of time is refused.
    pub component: Arc<[u8]>,
    /// SHA-256 that `component` must have.
    pub sha256_pin: Option<[u8; 32]>,
    /// What was signed of `component`, which must then be so.
    pub attestation: Option<Attestation>,
    /// Capabilities that the component may import.
    pub grants: BTreeSet<Capability>,
    /// What the guest reads through `portcullis:host/config`.
    pub config: BTreeMap<String, String>,
    /// What it may have tokens verified and codes made with through `portcullis:host/credentials`.
    pub keyring: Arc<Keyring>,
    /// What it reaches through `key-value`, `http` and `broker`.
    pub facilities: Facilities,
    /// Bounds on what the guest may use.
    pub limits: ExtensionLimits,
}

/// Shows sizes and keys only: configuration may hold password hashes.
impl fmt::Debug for ExtensionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtensionSpec")
            .field("name", &self.name)
            .field("component_bytes", &self.component.len())
            .field("attestation", &self.attestation)
            .field("grants", &self.grants)
            .field("config_keys", &self.config.keys().collect::<Vec<_>>())
            .field("keyring", &self.keyring)
            .field("facilities", &self.facilities)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// One interface that an operator can grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// `portcullis:host/log`
    Log,
    /// `portcullis:host/config`
    Config,
    /// `portcullis:host/credentials`
    Credentials,
    /// `portcullis:host/clock`
    Clock,
    /// `portcullis:host/random`
    Random,
    /// `portcullis:host/cache`
    Cache,
    /// `portcullis:host/metrics`
    Metrics,
    /// `portcullis:host/key-value`
    KeyValue,
    /// `portcullis:host/http`
    Http,
    /// `portcullis:gateway/broker`
    Broker,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 10] = [
        Self::Log,
        Self::Config,
        Self::Credentials,
        Self::Clock,
        Self::Random,
        Self::Cache,
        Self::Metrics,
        Self::KeyValue,
        Self::Http,
        Self::Broker,
    ];

    /// The word for it in `grants = [...]`, which is also the name of its interface.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Config => "config",
            Self::Credentials => "credentials",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Cache => "cache",
            Self::Metrics => "metrics",
            Self::KeyValue => "key-value",
            Self::Http => "http",
            Self::Broker => "broker",
        }
    }

    /// Whether its functions can take long.
    pub(crate) const fn may_wait(self) -> bool {
        matches!(self, Self::Credentials | Self::KeyValue | Self::Http)
    }

    /// The package that its interface is in.
    const fn package(self) -> &'static str {
        match self {
            // It speaks of permission sets, which are the gateway's.
            Self::Broker => "portcullis:gateway/",
            _ => "portcullis:host/",
        }
    }

    /// Its interface in the contract, as in `portcullis:host/log`.
    #[must_use]
    pub fn interface(self) -> String {
        format!("{}{}", self.package(), self.name())
    }

    /// The capability without which an import of WASI is there and of no use: its clock stands still, its random numbers
    /// end the call.
    #[must_use]
    pub fn behind_wasi(import: &str) -> Option<Self> {
        match import.split_once('@')?.0 {
            "wasi:random/random" | "wasi:random/insecure" => Some(Self::Random),
            "wasi:clocks/monotonic-clock" | "wasi:clocks/wall-clock" => Some(Self::Clock),
            _ => None,
        }
    }

    /// The capability whose interface has that name, as in `portcullis:host/log`.
    pub(crate) fn of_interface(interface: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| interface.strip_prefix(c.package()) == Some(c.name()))
    }

    /// The capability of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bounds on what one extension may use. Deadlines count the time inside the guest, not the time that it
/// waits for the gateway, such as for a password check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionLimits {
    /// Bytes of linear memory of one instance; at most [`crate::EngineSettings::max_memory_bytes`].
    pub memory_bytes: usize,
    /// Elements of all tables of one instance.
    pub table_elements: usize,
    /// Instances at a time: how many calls can be inside the guest together.
    pub instances: usize,
    /// Calls after which an instance is replaced by a fresh one.
    pub recycle_after_calls: u32,
    /// Age at which an instance is replaced by a fresh one.
    pub recycle_after: Duration,
    /// Time for instantiation and `lifecycle.init`.
    pub deadline_init: Duration,
    /// Time for `authenticate`, and for waiting until an instance is free for it; also for `permissions`.
    pub deadline_authenticate: Duration,
    /// The same for a question about a publish or subscribe.
    pub deadline_authorize: Duration,
    /// The same for one message before an interceptor.
    pub deadline_intercept: Duration,
    /// The same for one batch of events before an observer.
    pub deadline_observe: Duration,
    /// How long a verdict may be remembered.
    pub verdict_ttl: Duration,
    /// Bytes of log text per second, shared by all instances; a second's worth may come at once.
    pub log_bytes_per_second: u32,
    /// Bytes of all that it keeps in its cache.
    pub cache_bytes: usize,
    /// Bytes that may cross from the guest to the gateway in one host call or one answer.
    pub transfer_bytes: usize,
    /// When to stop calling a guest that keeps failing.
    pub breaker: BreakerSettings,
}

impl Default for ExtensionLimits {
    /// Enough for a guest in Rust or C with a few thousand rules; guests in JavaScript or Python need more memory.
    fn default() -> Self {
        Self {
            memory_bytes: 16 << 20,
            table_elements: 20_000,
            instances: 2,
            recycle_after_calls: 100_000,
            recycle_after: Duration::from_secs(3600),
            deadline_init: Duration::from_secs(5),
            deadline_authenticate: Duration::from_secs(2),
            deadline_authorize: Duration::from_millis(50),
            deadline_intercept: Duration::from_millis(50),
            deadline_observe: Duration::from_secs(2),
            verdict_ttl: Duration::from_secs(600),
            log_bytes_per_second: 64 << 10,
            cache_bytes: 1 << 20,
            transfer_bytes: 1 << 20,
            breaker: BreakerSettings::default(),
        }
    }
}

/// When to stop calling a guest that keeps failing, and for how long. Authentication with a password and by
/// exchange, re-authentication, authorization, each kind of interception and observation have a breaker each: what a
/// stranger can provoke does not stop the clients that are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open the breaker.
    pub failures: u32,
    /// Time before the first probe.
    pub backoff_first: Duration,
    /// The time doubles with each failed probe up to this.
    pub backoff_max: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 10,
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
        }
    }
}
