//! What a call of a guest costs, and what an instance does.

#![allow(missing_docs, clippy::expect_used, reason = "a bench that cannot be set up has failed")]

#[path = "../tests/guest/mod.rs"]
mod guest;
#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use guest::{ACCEPT, Fallback, Guest, Rule, allow};
use mqtt::QoS;
use portcullis_extension_host::{Extension, Publication, SubscriptionRequest};
use support::{client, host, identity, load, spec};

/// Instances over which the memory of one is averaged.
const INSTANCES: usize = 100;

/// Publishes of a batch that are asked about in one call.
const TOGETHER: usize = 16;

fn calls(c: &mut Criterion) {
    let extension = load(&typical());
    let (who, conn) = (identity(), client("sensor-000123"));
    let publication = Publication {
        topic: "plant/line-4/press-17/temperature",
        qos: QoS::AtLeastOnce,
        retain: false,
        payload_len: 64,
    };
    let subscriptions = ["plant/line-4/+/temperature", "plant/line-4/commands/#"]
        .map(|filter| SubscriptionRequest { filter, share_group: None, qos: QoS::AtLeastOnce });

    c.bench_function("authenticate: accept, two rules", |b| {
        b.iter(|| black_box(extension.authenticate(&conn, Some(b"correct horse battery"))));
    });
    c.bench_function("permissions: two rules", |b| {
        b.iter(|| black_box(extension.permissions(&who, &conn)));
    });
    c.bench_function("authorize_publish", |b| {
        b.iter(|| black_box(extension.authorize_publish(&who, &conn, &publication)));
    });
    let sit = |extension: &Extension| loop {
        black_box(extension.authorize_publish(&who, &conn, &publication));
        if let Some(sitting) = extension.sit(&who, &conn) {
            break sitting;
        }
    };
    let mut sitting = sit(&extension);
    c.bench_function("authorize_publish in a row", |b| {
        b.iter(|| {
            // It is over when this thread had to wait for others.
            if black_box(sitting.authorize_publish(&publication)).is_none() {
                sitting = sit(&extension);
            }
        });
    });
    drop(sitting);
    let together = load(&Guest::authorizer().with_bulk(""));
    let publications = [publication; TOGETHER];
    let mut sitting = sit(&together);
    c.bench_function(&format!("authorize_publications: {TOGETHER} in one call"), |b| {
        b.iter(|| {
            if black_box(sitting.authorize_publishes(&publications)).is_none() {
                sitting = sit(&together);
            }
        });
    });
    drop(sitting);
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
