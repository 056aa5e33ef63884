//! One engine for all tests of a file, and plain values to call with.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test that cannot be set up has failed"
)]

pub mod outside;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, OnceLock};

use portcullis_extension_host::{
    Connecting, EngineSettings, Extension, ExtensionLimits, ExtensionSpec, Facilities, Host,
    LoadError, Transport,
};

use crate::guest::Guest;

pub fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::new(EngineSettings::default()).unwrap())
}

pub fn spec(guest: &Guest) -> ExtensionSpec {
    ExtensionSpec {
        name: "test".into(),
        component: guest.build().into(),
        sha256_pin: None,
        attestation: None,
        grants: BTreeSet::new(),
        config: BTreeMap::new(),
        keyring: Arc::default(),
        facilities: Facilities::default(),
        limits: ExtensionLimits::default(),
    }
}

pub fn load(guest: &Guest) -> Extension {
    host().load(spec(guest)).unwrap()
}

pub fn refused(guest: &Guest) -> LoadError {
    host().load(spec(guest)).unwrap_err()
}

pub fn client(client_id: &str) -> Arc<Connecting> {
    Arc::new(Connecting {
        connection_id: 1,
        client_id: client_id.into(),
        username: Some("user".into()),
        version: mqtt::Version::V5,
        transport: Transport::Tls,
        listener: "mqtts".into(),
        peer_address: IpAddr::V4(Ipv4Addr::LOCALHOST).into(),
        server_name: Some("broker.example".into()),
        alpn: None,
        keep_alive: 60,
        clean_start: true,
        session_expiry: 0,
        user_properties: Vec::new(),
        will_topic: None,
        certificates: Vec::new(),
        certificate: None,
    })
}

pub fn identity() -> Arc<auth::Identity> {
    Arc::new(auth::Identity {
        client_id: "c1".into(),
        principal: "p1".into(),
        attributes: vec![("site".into(), "north".into())],
    })
}

/// What extensions say, as text.
#[derive(Clone, Default)]
pub struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    /// A line for each event.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl tracing::Subscriber for Said {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if event.metadata().target() == "portcullis::extension" {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write as _;
        write!(self.0, "{}={value:?};", field.name()).unwrap();
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        use std::fmt::Write as _;
        write!(self.0, "{}={value};", field.name()).unwrap();
    }
}
