//! What a call of a guest costs, and what an instance does.

#![allow(missing_docs, clippy::expect_used, reason = "a bench that cannot be set up has failed")]

#[path = "../tests/guest/mod.rs"]
mod guest;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use guest::{ACCEPT, Fallback, Guest, Rule, allow};
use mqtt::QoS;
use portcullis_extension_host::{
    Capability, Extension, ExtensionSpec, Publication, SubscriptionRequest,
};
use support::{client, host, identity, load, spec};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

/// Instances over which the memory of one is averaged.
const INSTANCES: usize = 100;

/// Where `cargo xtask extensions` puts what it builds.
const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/extensions");

/// Publishes of a batch that are asked about in one call.
const TOGETHER: usize = 16;

/// What is asked about.
const PUBLICATION: Publication<'static> = Publication {
    topic: "plant/line-4/press-17/temperature",
    qos: QoS::AtLeastOnce,
    retain: false,
    payload_len: 64,
};

fn calls(c: &mut Criterion) {
    let extension = load(&typical());
    let (who, conn) = (identity(), client("sensor-000123"));
    let subscriptions = ["plant/line-4/+/temperature", "plant/line-4/commands/#"]
        .map(|filter| SubscriptionRequest { filter, share_group: None, qos: QoS::AtLeastOnce });

    bare(c);
    c.bench_function("authenticate: accept, two rules", |b| {
        b.iter(|| black_box(extension.authenticate(&conn, Some(b"correct horse battery"))));
    });
    c.bench_function("permissions: two rules", |b| {
        b.iter(|| black_box(extension.permissions(&who, &conn)));
    });
    c.bench_function("authorize_publish", |b| {
        b.iter(|| black_box(extension.authorize_publish(&who, &conn, &PUBLICATION)));
    });
    in_a_row(c, "authorize_publish in a row", &extension, None);
    let bulk = load(&Guest::authorizer().with_bulk(""));
    for count in [1, TOGETHER] {
        let name = format!("authorize_publications: {count} in one call");
        in_a_row(c, &name, &bulk, Some(count));
    }
    if let (Some(singly), Some(bulk)) = (in_rust("asked-singly"), in_rust("asked")) {
        in_a_row(c, "Rust guest: authorize_publish in a row", &singly, None);
        for count in [1, TOGETHER] {
            let name = format!("Rust guest: authorize_publications: {count} in one call");
            in_a_row(c, &name, &bulk, Some(count));
        }
    }
    c.bench_function("authorize_subscribe: two filters", |b| {
        b.iter(|| black_box(extension.authorize_subscribe(&who, &conn, &subscriptions)));
    });
    let hundred = hundred_rules();
    c.bench_function("permissions: 100 rules", |b| {
        b.iter(|| black_box(hundred.permissions(&who, &conn)));
    });
    fresh(c);
    memory(&spec(&typical()));
}

/// What the engine takes by itself for a call with three texts and an answer of one bit: the measure of the machine for all others.
fn bare(c: &mut Criterion) {
    let mut config = Config::new();
    config.concurrency_support(false).epoch_interruption(true).gc_support(false);
    let engine = Engine::new(&config).expect("an engine");
    let component =
        Component::new(&engine, wat::parse_str(BARE).expect("the text")).expect("a component");
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1);
    let instance = Linker::new(&engine).instantiate(&mut store, &component).expect("an instance");
    let ask = instance.get_typed_func::<(&str, &str, &str), (bool,)>(&mut store, "ask");
    let ask = ask.expect("its function");
    c.bench_function("bare call, three texts", |b| {
        b.iter(|| {
            let texts = black_box(("sensor-000123", "p1", PUBLICATION.topic));
            black_box(ask.call(&mut store, texts).expect("an answer"))
        });
    });
}

/// Says yes.
const BARE: &str = r#"(component
  (core module $module
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.add (global.get $free) (local.get 3))))
    (func (export "ask") (param i32 i32 i32 i32 i32 i32) (result i32)
      (global.set $free (i32.const 1024))
      (i32.const 1)))
  (core instance $it (instantiate $module))
  (func (export "ask") (param "a" string) (param "b" string) (param "c" string) (result bool)
    (canon lift (core func $it "ask") (memory $it "memory") (realloc (func $it "realloc")))))"#;

/// Questions in a row about the same client, as they are put on the thread of its connection.
fn in_a_row(c: &mut Criterion, name: &str, extension: &Extension, together: Option<usize>) {
    let (who, conn) = (identity(), client("sensor-000123"));
    let sit = || loop {
        assert!(extension.authorize_publish(&who, &conn, &PUBLICATION).result.is_ok());
        if let Some(sitting) = extension.sit(&who, &conn) {
            break sitting;
        }
    };
    let publications = together.map(|count| vec![PUBLICATION; count]);
    let mut sitting = sit();
    c.bench_function(name, |b| {
        b.iter(|| {
            let answered = match &publications {
                None => black_box(sitting.authorize_publish(&PUBLICATION)).is_some(),
                Some(them) => black_box(sitting.authorize_publishes(them)).is_some(),
            };
            // It is over when this thread had to wait for others.
            if !answered {
                sitting = sit();
            }
        });
    });
}

/// A guest that was written with the crate for authors, if it is built: it allows what is below a prefix.
#[allow(clippy::print_stdout, reason = "what is left out is told")]
fn in_rust(name: &str) -> Option<Extension> {
    let file = Path::new(BUILT).join(format!("{name}.wasm"));
    let Ok(component) = std::fs::read(&file) else {
        println!("left out: {} is not there; `cargo xtask extensions` builds it", file.display());
        return None;
    };
    let config = [("prefix", "plant"), ("remember-ms", "0")];
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let spec = ExtensionSpec {
        component: component.into(),
        grants: BTreeSet::from([Capability::Config, Capability::Log]),
        config: BTreeMap::from(config),
        ..spec(&Guest::default())
    };
    Some(host().load(spec).expect("loads"))
}

/// A guest that answers each hook the way a small policy would.
fn typical() -> Guest {
    Guest::default()
        .accepting(
            &[allow("devices/${client-id}/#"), Rule { deny: true, ..allow("secret/#") }],
            Fallback::Ask,
        )
        .granting(&[allow("devices/${client-id}/#"), allow("public/#")], Fallback::Ask)
        .authorize_subscribe(
            "(memory.fill (i32.const 2048) (i32.const 0) (i32.const 80)) \
             (i32.store (i32.const 1028) (i32.const 2048)) \
             (i32.store (i32.const 1032) (local.get $count))",
        )
}

fn hundred_rules() -> Extension {
    let filters: Vec<String> = (0..100).map(|n| format!("plant/line-{n}/+/state")).collect();
    let rules: Vec<Rule<'_>> = filters.iter().map(|filter| allow(filter)).collect();
    load(&Guest::authorizer().granting(&rules, Fallback::Deny))
}

/// A call that must make its instance first, as after a trap.
fn fresh(c: &mut Criterion) {
    let mut spec = spec(&Guest::authenticator(ACCEPT));
    spec.limits.recycle_after_calls = 1;
    let extension = host().load(spec).expect("loads");
    let conn = client("sensor-000123");
    c.bench_function("authenticate: fresh instance", |b| {
        b.iter(|| black_box(extension.authenticate(&conn, None)));
    });
}

/// Prints by how much the process grows for each instance.
#[allow(clippy::print_stdout, reason = "it is the result")]
fn memory(spec: &portcullis_extension_host::ExtensionSpec) {
    let one: Vec<Extension> = (0..1).map(|_| host().load(spec.clone()).expect("loads")).collect();
    let before = resident_bytes();
    let many: Vec<Extension> =
        (0..INSTANCES).map(|_| host().load(spec.clone()).expect("loads")).collect();
    let loaded = resident_bytes();
    for extension in &many {
        assert!(extension.authenticate(&client("c1"), None).result.is_ok());
    }
    let used = resident_bytes();
    let each = |from: u64, to: u64| to.saturating_sub(from) / 1024 / INSTANCES as u64;
    println!(
        "memory: {} KiB per extension and instance when loaded, code included; {} KiB more when called",
        each(before, loaded),
        each(loaded, used)
    );
    drop((one, many));
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

criterion_group!(benches, calls);
criterion_main!(benches);
