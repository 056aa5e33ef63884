//! The gateway as a guest sees it: the functions that it may import, and the state behind them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Level;
use wasmtime::component::Resource;

use crate::bindings::portcullis::gateway::types;
use crate::bindings::portcullis::host::{config, credentials, log};
use crate::clock::CallClock;
use crate::connecting::Connecting;
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::log::{LogSink, enabled};

/// Password checks that a guest gets in one call of a hook. They do not count towards its deadline, so
/// without a bound a guest could stay in its call for ever.
const CHECKS_PER_CALL: u32 = 4;

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
    checks: u32,
}

/// Whom a call is about. Empty between calls.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    pub(crate) connection: Option<Arc<Connecting>>,
    pub(crate) identity: Option<Arc<auth::Identity>>,
}

/// What all instances with the same configuration share.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) log: Arc<LogSink>,
    pub(crate) gate: Arc<Gate>,
    /// How long a password check waits for its turn.
    pub(crate) gate_wait: Duration,
}

impl Guest {
    pub(crate) fn new(ledger: Ledger, services: Arc<Services>) -> Self {
        let clock = CallClock::start(Duration::ZERO);
        Self { ledger, clock, subject: Subject::default(), services, checks: 0 }
    }

    pub(crate) fn begin(&mut self, budget: Duration, subject: Subject) {
        self.clock = CallClock::start(budget);
        self.subject = subject;
        self.checks = 0;
    }

    /// Reads from the connection of the call. A handle is only ever given to a guest for a call that has one,
    /// so the fallback is for `init`, where a forged handle cannot exist either.
    fn read<R>(&self, get: impl FnOnce(&Connecting) -> R) -> wasmtime::Result<R> {
        match &self.subject.connection {
            Some(connection) => Ok(get(connection)),
            None => Err(wasmtime::Error::msg("no connection belongs to this call")),
        }
    }
}

impl types::Host for Guest {}

impl types::HostConnection for Guest {
    fn protocol_level(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<u8> {
        self.read(|c| c.version.level())
    }

    fn transport(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<String> {
        self.read(|c| c.transport.to_string())
    }

    fn listener(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<String> {
        self.read(|c| c.listener.clone())
    }

    fn peer_address(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<String> {
        self.read(|c| c.peer_address.to_string())
    }

    fn server_name(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<Option<String>> {
        self.read(|c| c.server_name.clone())
    }

    fn alpn(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<Option<String>> {
        self.read(|c| c.alpn.clone())
    }

    fn keep_alive(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<u16> {
        self.read(|c| c.keep_alive)
    }

    fn clean_start(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<bool> {
        self.read(|c| c.clean_start)
    }

    fn session_expiry(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<u32> {
        self.read(|c| c.session_expiry)
    }

    fn user_properties(
        &mut self,
        _: Resource<ConnectionHandle>,
    ) -> wasmtime::Result<Vec<(String, String)>> {
        self.read(|c| c.user_properties.clone())
    }

    fn will_topic(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<Option<String>> {
        self.read(|c| c.will_topic.clone())
    }

    fn peer_certificate(
        &mut self,
        _: Resource<ConnectionHandle>,
    ) -> wasmtime::Result<Option<types::Certificate>> {
        self.read(|c| c.certificate.as_ref().map(certificate))
    }

    fn certificate_chain(
        &mut self,
        _: Resource<ConnectionHandle>,
    ) -> wasmtime::Result<Vec<Vec<u8>>> {
        self.read(|c| c.certificates.clone())
    }

    fn attribute(
        &mut self,
        _: Resource<ConnectionHandle>,
        name: String,
    ) -> wasmtime::Result<Option<String>> {
        let identity = self.subject.identity.as_ref();
        Ok(identity.and_then(|i| i.attribute(&name)).map(str::to_owned))
    }

    fn drop(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}

fn certificate(c: &crate::CertificateInfo) -> types::Certificate {
    types::Certificate {
        sha256: c.sha256.clone(),
        subject: c.subject.clone(),
        common_name: c.common_name.clone(),
        issuer: c.issuer.clone(),
        serial: c.serial.clone(),
        not_after: c.not_after_unix_s,
        san_dns: c.san_dns.clone(),
        san_uri: c.san_uri.clone(),
        san_email: c.san_email.clone(),
        san_ip: c.san_ip.clone(),
    }
}

impl log::Host for Guest {
    fn enabled(&mut self, level: log::Level) -> bool {
        enabled(tracing_level(level))
    }

    fn event(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) {
        self.services.log.write(tracing_level(level), &message, &fields);
    }
}

fn tracing_level(level: log::Level) -> Level {
    match level {
        log::Level::Trace => Level::TRACE,
        log::Level::Debug => Level::DEBUG,
        log::Level::Info => Level::INFO,
        log::Level::Warn => Level::WARN,
        log::Level::Error => Level::ERROR,
    }
}

impl config::Host for Guest {
    fn get(&mut self, key: String) -> Option<String> {
        self.services.config.get(&key).cloned()
    }

    fn keys(&mut self) -> Vec<String> {
        self.services.config.keys().cloned().collect()
    }
}

impl credentials::Host for Guest {
    fn verify_password(
        &mut self,
        password: Vec<u8>,
        stored_hash: String,
    ) -> credentials::PasswordCheck {
        if self.checks >= CHECKS_PER_CALL {
            return credentials::PasswordCheck::Busy;
        }
        self.checks += 1;
        let began = Instant::now();
        let check = match self.services.gate.enter(self.services.gate_wait) {
            None => credentials::PasswordCheck::Busy,
            Some(_place) => match auth::password::verify(&password, &stored_hash) {
                auth::password::Check::Match => credentials::PasswordCheck::Match,
                auth::password::Check::Mismatch => credentials::PasswordCheck::Mismatch,
                auth::password::Check::UnsupportedHash => {
                    credentials::PasswordCheck::UnsupportedHash
                }
            },
        };
        self.clock.spent_outside(began.elapsed());
        check
    }
}
