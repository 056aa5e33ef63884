//! What the example extension costs in each language that it is written in: `cargo xtask examples --measure`.
//!
//! One instance and one client, in one run for all languages. Times are medians of single calls, with the 99th percentile
//! behind them; the clock that is read around each call adds some 30 ns.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what cannot be set up cannot be measured, and the output is the result"
)]

mod keys;
mod memory;
mod times;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use extension_host::{
    AuthenticationOutcome, Capability, Connecting, EngineSettings, ExtensionLimits, ExtensionSpec,
    Facilities, Host, KeySource, Keyring, Publication, TokenKeys, Transport, Verdict,
};
use keys::Keys;
use mqtt::QoS;
use times::Times;

/// Instances over which the memory of one is averaged.
const INSTANCES: usize = 32;

/// The first argument is the folder with the components, the others are languages.
fn main() {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().expect("the folder with the components");
    println!(
        "| language | component | load | instance | authenticate | of it the token | authorize |"
    );
    println!("|---|---|---|---|---|---|---|");
    let token_alone = keys::token_alone();
    for name in arguments {
        let row = measure(&Path::new(&folder).join(&name).with_extension("wasm"));
        println!(
            "| {name} | {} | {:.2} s | {} KiB | {} | {:.1} us | {} |",
            size(row.component_bytes),
            row.load.as_secs_f64(),
            row.instance_bytes / 1024,
            row.authenticate,
            token_alone.as_secs_f64() * 1e6,
            row.authorize
        );
    }
}

struct Row {
    component_bytes: usize,
    /// Compiling, and making the first instance.
    load: Duration,
    /// By how much the process grows for one more.
    instance_bytes: u64,
    authenticate: Times,
    authorize: Times,
}

fn measure(path: &Path) -> Row {
    let component: Arc<[u8]> =
        fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into();
    let component_bytes = component.len();
    let keys = Arc::new(Keys::new());
    let host = Host::new(EngineSettings::default()).expect("an engine");
    let began = Instant::now();
    let extension = host.load(spec(component, &keys)).unwrap_or_else(|error| panic!("{error}"));
    let load = began.elapsed();
    let (connecting, token) = (client(), keys::token());
    let authenticate = times::of(|| {
        let answer = extension.authenticate(&connecting, Some(token.as_bytes()));
        assert!(matches!(answer.result, Ok(AuthenticationOutcome::Accept(_))), "{answer:?}");
    });
    let who = Arc::new(auth::Identity {
        client_id: "north-1".into(),
        principal: "meter-7".into(),
        attributes: vec![("tenant".into(), "north".into())],
    });
    let publication = Publication {
        topic: "south/line-4/press-17/temperature",
        qos: QoS::AtLeastOnce,
        retain: false,
        payload_len: 64,
    };
    let authorize = times::of(|| {
        let answer = extension.authorize_publish(&who, &connecting, &publication);
        assert!(matches!(answer.result, Ok(Verdict::Deny { .. })), "{answer:?}");
    });
    let instance_bytes = memory::of_one(&extension, &keys, &connecting, &token);
    Row { component_bytes, load, instance_bytes, authenticate, authorize }
}

fn spec(component: Arc<[u8]>, keys: &Arc<Keys>) -> ExtensionSpec {
    let source: Arc<dyn KeySource> = Arc::clone(keys) as _;
    let key_sets = BTreeMap::from([("plant".into(), TokenKeys { policy: keys::policy(), source })]);
    ExtensionSpec {
        name: "tenants".into(),
        component,
        sha256_pin: None,
        attestation: None,
        grants: BTreeSet::from([
            Capability::Config,
            Capability::Credentials,
            Capability::Log,
            Capability::Random,
        ]),
        config: BTreeMap::from([("key-set".into(), "plant".into())]),
        keyring: Arc::new(Keyring { key_sets, ..Keyring::default() }),
        facilities: Facilities::default(),
        limits: ExtensionLimits {
            memory_bytes: 64 << 20,
            instances: INSTANCES,
            recycle_after_calls: u32::MAX,
            deadline_authenticate: Duration::from_secs(60),
            deadline_authorize: Duration::from_secs(60),
            ..ExtensionLimits::default()
        },
    }
}

fn client() -> Arc<Connecting> {
    Arc::new(Connecting {
        connection_id: 1,
        client_id: "north-1".into(),
        username: None,
        version: mqtt::Version::V5,
        transport: Transport::Tls,
        listener: "tls".into(),
        peer_address: IpAddr::V4(Ipv4Addr::LOCALHOST).into(),
        server_name: None,
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

fn size(bytes: usize) -> String {
    let kib = bytes as f64 / 1024.0;
    if kib < 1024.0 { format!("{kib:.1} KiB") } else { format!("{:.1} MiB", kib / 1024.0) }
}
