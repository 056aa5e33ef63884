//! What guests may import from `portcullis:host`, each only with its grant.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod guest;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use guest::{ACCEPT, Guest, provoked};
use portcullis_extension_host::{
    Capability, Extension, Facilities, Failure, LoadError, Metric, MetricValue, Nature,
};
use support::{client, host, refused, spec};

fn load(guest: &Guest, grants: &[Capability]) -> Extension {
    let mut spec = spec(guest);
    spec.grants = grants.iter().copied().collect();
    host().load(spec).unwrap()
}

fn accepts(extension: &Extension, client_id: &str) -> bool {
    extension.authenticate(&client(client_id), None).result.is_ok()
}

#[test]
fn a_capability_that_is_not_granted_is_not_there() {
    for (interface, name, signature, grant) in [
        ("portcullis:host/clock", "now-ms", "(result i64)", "clock"),
        ("portcullis:host/random", "bytes", "(param i32 i32)", "random"),
        ("portcullis:host/cache", "remove", "(param i32 i32)", "cache"),
        ("portcullis:host/metrics", "gauge-set", "(param i32 i32 f64 i32 i32)", "metrics"),
    ] {
        let guest = Guest::authenticator(ACCEPT).import(interface, name, "$call", signature);
        let error = refused(&guest);
        assert!(matches!(&error, LoadError::ForbiddenImport { grant: Some(_), .. }), "{error}");
        assert!(error.to_string().contains(&format!("add \"{grant}\"")), "{error}");
        assert!(accepts(&load(&guest, &[Capability::from_name(grant).unwrap()]), "c1"));
    }
}

/// A clock that stands still until it is moved, and bytes that are all the same.
#[derive(Debug, Default)]
struct Still(AtomicU64);

impl Nature for Still {
    fn now(&self) -> Duration {
        Duration::from_secs(1_700_000_000) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
        bytes.fill(0xab);
        Ok(())
    }
}

#[test]
fn time_and_chance_are_what_the_host_was_given() {
    let body = format!(
        "(if (i64.ne (call $now) (i64.const 1700000000005)) (then unreachable))
         (if (i64.ne (call $mono) (i64.const 5000000)) (then unreachable))
         (call $random (i32.const 3) (i32.const 2048))
         (if (i32.ne (i32.load (i32.const 2052)) (i32.const 3)) (then unreachable))
         (if (i32.ne (i32.load8_u offset=2 (i32.load (i32.const 2048))) (i32.const 0xab)) (then unreachable))
         {ACCEPT}"
    );
    let guest = Guest::authenticator(&body)
        .import("portcullis:host/clock", "now-ms", "$now", "(result i64)")
        .import("portcullis:host/clock", "monotonic-ns", "$mono", "(result i64)")
        .import("portcullis:host/random", "bytes", "$random", "(param i32 i32)");
    let still = Arc::new(Still::default());
    still.0.store(5, Ordering::SeqCst);
    let mut spec = spec(&guest);
    spec.grants = [Capability::Clock, Capability::Random].into();
    let extension = host().clone().with_nature(still).load(spec).unwrap();
    extension.authenticate(&client("c1"), None).result.unwrap();
}

#[test]
fn too_many_random_bytes_end_the_call() {
    let body = format!("(call $random (i32.const 4097) (i32.const 2048)) {ACCEPT}");
    let guest = Guest::authenticator(&body).import(
        "portcullis:host/random",
        "bytes",
        "$random",
        "(param i32 i32)",
    );
    let extension = load(&guest, &[Capability::Random]);
    let failure = extension.authenticate(&client("c1"), None).result.unwrap_err();
    assert!(matches!(&failure, Failure::Trap(why) if why.contains("4097")), "{failure}");
}

/// Counts clients in the cache; traps for a client that begins with `!` and once the count is above 2.
#[test]
fn the_cache_outlives_an_instance_that_trapped_and_ends_with_its_time() {
    let mut guest = Guest::authenticator("");
    let key = guest.put(b"count");
    let count = format!(
        "(if (i64.gt_s (call $increment (i32.const {key}) (i32.const 5) (i64.const 1) (i32.const 1000)) \
         (i64.const 2)) (then unreachable)) {ACCEPT}"
    );
    let guest = guest.with_authenticate(&provoked("unreachable", &count)).import(
        "portcullis:host/cache",
        "increment",
        "$increment",
        "(param i32 i32 i64 i32) (result i64)",
    );
    let still = Arc::new(Still::default());
    let mut spec = spec(&guest);
    spec.grants = [Capability::Cache].into();
    let extension = host().clone().with_nature(Arc::clone(&still) as _).load(spec).unwrap();
    assert!(accepts(&extension, "c1") && !accepts(&extension, "!") && accepts(&extension, "c2"));
    assert!(!accepts(&extension, "c3"), "counted in three instances");
    extension.reconfigure(BTreeMap::new(), Arc::default(), Facilities::default()).unwrap();
    assert!(!accepts(&extension, "c4"), "and in a new configuration");
    still.0.store(1000, Ordering::SeqCst);
    assert!(accepts(&extension, "c5"), "the window is over");
}

#[test]
fn metrics_are_kept_with_the_extension_and_bad_ones_counted() {
    let mut guest = Guest::authenticator("");
    let (good, bad) = (guest.put(b"denied_total"), guest.put(b"Denied"));
    let add = |name: u32, bytes: u32| {
        format!(
            "(call $add (i32.const {name}) (i32.const {bytes}) (i64.const 3) (i32.const 0) (i32.const 0))"
        )
    };
    let guest = guest
        .with_authenticate(&format!("{} {} {ACCEPT}", add(good, 12), add(bad, 6)))
        .import("portcullis:host/metrics", "counter-add", "$add", "(param i32 i32 i64 i32 i32)");
    let extension = load(&guest, &[Capability::Metrics]);
    assert!(accepts(&extension, "c1") && accepts(&extension, "c2"));
    let denied =
        Metric { name: "denied_total".into(), labels: Vec::new(), value: MetricValue::Counter(6) };
    assert_eq!(extension.metrics(), [denied]);
    assert_eq!(extension.stats().metrics_refused, 2);
}
