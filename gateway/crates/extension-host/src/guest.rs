//! The gateway as a guest sees it: the functions that it may import, a file for each interface, and the state
//! behind them.

mod broker;
mod cache;
mod clock;
mod config;
mod connection;
mod credentials;
mod http;
mod key_value;
mod log;
mod metrics;
mod output;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::clock::CallClock;
use crate::connecting::Connecting;
use crate::facilities::Facilities;
use crate::gate::Gate;
use crate::keyring::Keyring;
use crate::ledger::Ledger;
use crate::log::LogSink;
use crate::metrics::Metrics;
use crate::nature::Nature;
use crate::shelf::Shelf;
use crate::spec::Capability;
use crate::stats::Counters;
use crate::tape::Tape;

pub(crate) use output::Stream;

/// The type behind the contract's resource `connection`. A guest only ever borrows the one connection that its call
/// is about, so the handle carries nothing.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
#[derive(Debug)]
pub struct ConnectionHandle;

/// Everything that belongs to one instance on the gateway's side.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) ledger: Ledger,
    pub(crate) clock: CallClock,
    pub(crate) subject: Subject,
    services: Arc<Services>,
    /// The hook that is being called.
    hook: &'static str,
    checks: u32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Whom a call is about. Empty between calls.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    pub(crate) connection: Option<Arc<Connecting>>,
    pub(crate) identity: Option<Arc<auth::Identity>>,
    /// Where what the call gets from the gateway is kept, or comes from.
    pub(crate) tape: Option<Tape>,
}

/// Why the gateway ended a call in one of its own functions.
#[derive(Debug)]
pub(crate) struct Ended(String);

impl Ended {
    pub(crate) fn error(why: impl Into<String>) -> wasmtime::Error {
        wasmtime::Error::new(Self(why.into()))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Ended {}

/// What all instances with the same configuration share.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) grants: BTreeSet<Capability>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) facilities: Facilities,
    /// Whether what the guest does is only compared, so that nothing may come of it; `cache` and `metrics` heed it too.
    pub(crate) rehearsal: Arc<AtomicBool>,
    pub(crate) log: Arc<LogSink>,
    pub(crate) gate: Arc<Gate>,
    /// How long a password check waits for its turn.
    pub(crate) gate_wait: Duration,
    pub(crate) nature: Arc<dyn Nature>,
    pub(crate) cache: Arc<Shelf>,
    pub(crate) metrics: Arc<Mutex<Metrics>>,
    pub(crate) counters: Arc<Counters>,
}

impl Guest {
    pub(crate) fn new(ledger: Ledger, services: Arc<Services>) -> Self {
        let clock = CallClock::start(Duration::ZERO);
        Self {
            ledger,
            clock,
            subject: Subject::default(),
            services,
            hook: "",
            checks: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self, hook: &'static str, budget: Duration, subject: Subject) {
        self.clock = CallClock::start(budget);
        self.subject = subject;
        self.hook = hook;
        self.checks = 0;
    }

    /// Another hook in a row of calls.
    pub(crate) fn goes_on_in(&mut self, hook: &'static str) {
        self.hook = hook;
    }

    /// Gives the instance other settings, between two calls.
    pub(crate) fn resettle(&mut self, services: Arc<Services>) {
        self.services = services;
    }

    pub(crate) fn end(&mut self) {
        self.subject = Subject::default();
        self.flush_output();
    }

    /// The time of day, or the beginning of time for a guest without the grant.
    pub(crate) fn wall_clock(&mut self) -> Duration {
        if !self.may(Capability::Clock) {
            return Duration::ZERO;
        }
        self.time("wasi.wall-clock", |guest| guest.services.nature.now())
    }

    /// A clock that stands still for a guest without the grant.
    pub(crate) fn monotonic_clock(&mut self) -> Duration {
        if !self.may(Capability::Clock) {
            return Duration::ZERO;
        }
        self.time("wasi.monotonic-clock", |guest| guest.services.nature.monotonic())
    }

    fn time(&mut self, function: &'static str, live: impl FnOnce(&Self) -> Duration) -> Duration {
        let nanos = self.taped(
            function,
            || json!([]),
            |guest| u64::try_from(live(guest).as_nanos()).unwrap_or(u64::MAX),
        );
        Duration::from_nanos(nanos)
    }

    /// Random bytes for WASI, if the guest may have them.
    pub(crate) fn random(&mut self, count: usize) -> wasmtime::Result<Vec<u8>> {
        if self.may(Capability::Random) {
            return self.random_bytes("wasi.random", count);
        }
        Err(Ended::error(
            "random numbers are not granted; add \"random\" to the extension's `grants`",
        ))
    }

    /// 16 bytes that differ from one instance to the next.
    pub(crate) fn seed(&mut self) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes("wasi.seed", 16)
    }

    /// Whether what the call gets from the gateway is kept, or comes from a recording.
    fn is_taped(&self) -> bool {
        self.subject.tape.is_some()
    }

    fn is_rehearsal(&self) -> bool {
        self.services.rehearsal.load(Ordering::Relaxed)
    }

    fn may(&self, capability: Capability) -> bool {
        self.services.grants.contains(&capability)
    }

    /// Reads from the connection of the call. A handle is only ever given to a guest for a call that has one,
    /// so the fallback is for `init`, where a forged handle cannot exist either.
    fn read<R>(&self, get: impl FnOnce(&Connecting) -> R) -> wasmtime::Result<R> {
        match &self.subject.connection {
            Some(connection) => Ok(get(connection)),
            None => Err(Ended::error("no connection belongs to this call")),
        }
    }
}
