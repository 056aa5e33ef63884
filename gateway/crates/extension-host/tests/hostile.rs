//! What a guest can do to the gateway: cost its own caller an answer, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod guest;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use guest::{ACCEPT, ENDLESS, Fallback, Guest, HOG, OVERFLOW, Rule, TRAP, allow, provoked};
use portcullis_extension_host::{
    AuthenticationOutcome, Capability, Extension, Failure, LoadError, SubscriptionRequest,
};
use support::{Said, client, host, identity, load, refused, spec};

const DEADLINE: Duration = Duration::from_millis(200);
/// What a busy machine may add to any time here.
const PATIENCE: Duration = Duration::from_secs(10);

/// A guest that does `body` when provoked, with a short deadline.
fn provocable(body: &str) -> Extension {
    let mut spec = spec(&Guest::authenticator(&provoked(body, ACCEPT)));
    spec.limits.deadline_authenticate = DEADLINE;
    host().load(spec).unwrap()
}

/// Provokes the guest, and shows that it was the call alone that failed.
fn provoke(extension: &Extension) -> Failure {
    assert!(accepts(extension), "before");
    let answer = extension.authenticate(&client("!"), None);
    assert!(answer.took < DEADLINE + PATIENCE, "took {:?}", answer.took);
    assert!(accepts(extension), "after");
    answer.result.unwrap_err()
}

fn accepts(extension: &Extension) -> bool {
    matches!(
        extension.authenticate(&client("c1"), None).result,
        Ok(AuthenticationOutcome::Accept(_))
    )
}

#[test]
fn an_endless_loop_ends_at_its_deadline() {
    let extension = provocable(ENDLESS);
    assert_eq!(provoke(&extension), Failure::Deadline);
    let stats = extension.stats();
    assert_eq!((stats.deadline_exceeded, stats.rebuilt, stats.instances), (1, 1, 1));
}

#[test]
fn the_deadline_holds_within_twice_its_time() {
    // A machine that has other work may add to each, so the best counts.
    let took = |_| provocable(ENDLESS).authenticate(&client("!"), None).took;
    let best = (0..5).map(took).min().unwrap();
    assert!(best >= DEADLINE, "cut short: {best:?}");
    assert!(best < DEADLINE * 2, "{best:?}");
}

#[test]
fn a_trap_costs_its_call_and_its_instance() {
    let extension = provocable(TRAP);
    let Failure::Trap(why) = provoke(&extension) else { panic!("a trap") };
    assert!(why.contains("unreachable"), "{why}");
    assert_eq!((extension.stats().traps, extension.stats().rebuilt), (1, 1));
}

#[test]
fn a_stack_overflow_is_a_trap() {
    let Failure::Trap(why) = provoke(&provocable(OVERFLOW)) else { panic!("a trap") };
    assert!(why.contains("stack"), "{why}");
}

#[test]
fn memory_ends_at_the_limit_and_comes_back() {
    let mut spec = spec(&Guest::authenticator(&provoked(HOG, ACCEPT)));
    spec.limits.memory_bytes = 8 << 20;
    let extension = host().load(spec).unwrap();
    assert!(accepts(&extension));
    let before = extension.stats().memory_bytes;
    let failure = extension.authenticate(&client("!"), None).result.unwrap_err();
    assert_eq!(failure, Failure::Memory);
    assert!(accepts(&extension));
    assert_eq!(extension.stats().memory_refused, 1);
    assert_eq!(extension.stats().memory_bytes, before);
}

#[test]
fn a_guest_that_takes_a_refusal_well_still_answers_and_is_replaced() {
    let asks = "(drop (memory.grow (i32.const 60000)))";
    let extension = load(&Guest::authenticator(&format!("{asks} {ACCEPT}")));
    assert!(accepts(&extension));
    assert!(accepts(&extension));
    let stats = extension.stats();
    assert_eq!((stats.memory_refused, stats.rebuilt), (2, 1));
}

#[test]
fn answers_outside_of_the_contract_are_failures() {
    let answer = |body: &str| match provoke(&provocable(body)) {
        Failure::InvalidAnswer(why) => why,
        other => panic!("{body}: {other:?}"),
    };
    let why = answer("(i32.store8 (i32.const 1032) (i32.const 1))");
    assert!(why.contains("0x00"), "reject with success: {why}");
    let why = answer("(i32.store (i32.const 1044) (i32.const 0))");
    assert!(why.contains("principal"), "no principal: {why}");
    let why = answer("(i32.store8 (i32.const 1032) (i32.const 9))");
    assert!(!why.is_empty(), "no such outcome: {why}");
    let why = answer(
        "(i32.store8 (i32.const 2048) (i32.const 0xff)) \
         (i32.store (i32.const 1040) (i32.const 2048)) (i32.store (i32.const 1044) (i32.const 1))",
    );
    assert!(why.contains("utf-8"), "{why}");
    // 32 Mi attributes of 16 bytes each, far outside of the memory.
    let why = answer("(i32.store (i32.const 1052) (i32.const 0x2000000))");
    assert!(!why.is_empty(), "{why}");
}

#[test]
fn an_answer_larger_than_allowed_is_cut_off_before_it_is_copied() {
    // 400,000 attributes with empty names, all inside of the memory.
    let body = format!("{ACCEPT} (i32.store (i32.const 1052) (i32.const 400000))");
    let mut spec = spec(&Guest::authenticator(&provoked(&body, ACCEPT)).pages(128));
    spec.limits.transfer_bytes = 256 << 10;
    let extension = host().load(spec).unwrap();
    let failure = extension.authenticate(&client("!"), None).result.unwrap_err();
    assert!(matches!(failure, Failure::InvalidAnswer(_)), "{failure:?}");
    assert!(accepts(&extension));
}

/// The same the other way: what a guest passes to the gateway, all of it within its memory.
#[test]
fn an_argument_larger_than_allowed_ends_the_call_before_it_is_copied() {
    let put = |bytes: u32| {
        format!(
            "(call $put (i32.const 2048) (i32.const 1) (i32.const 0) (i32.const {bytes}) (i32.const 1000)) {ACCEPT}"
        )
    };
    let (fits, too_large) = (put(200 << 10), put(300 << 10));
    let guest = Guest::authenticator(&provoked(&too_large, &fits)).pages(32).import(
        "portcullis:host/cache",
        "put",
        "$put",
        "(param i32 i32 i32 i32 i32)",
    );
    let mut spec = spec(&guest);
    spec.grants.insert(Capability::Cache);
    spec.limits.transfer_bytes = 256 << 10;
    let extension = host().load(spec).unwrap();
    let failure = provoke(&extension);
    assert!(matches!(failure, Failure::InvalidAnswer(_)), "{failure:?}");
    assert_eq!((extension.stats().invalid_answers, extension.stats().rebuilt), (1, 1));
}

#[test]
fn one_verdict_for_each_subscription() {
    let three = "(i32.store (i32.const 1028) (i32.const 2048)) \
                 (i32.store (i32.const 1032) (i32.const 3))";
    let extension = load(&Guest::authorizer().authorize_subscribe(three));
    let filter =
        |filter| SubscriptionRequest { filter, share_group: None, qos: mqtt::QoS::AtMostOnce };
    let failure = extension
        .authorize_subscribe(&identity(), &client("c1"), &[filter("a"), filter("b")])
        .result
        .unwrap_err();
    assert_eq!(failure, Failure::InvalidAnswer("3 verdicts for 2 subscriptions".into()));
}

#[test]
fn rules_that_do_not_compile_are_an_invalid_answer() {
    let bad = Rule { filter: "a/${nobody}", ..allow("") };
    let extension = load(&Guest::authorizer().granting(&[allow("a"), bad], Fallback::Deny));
    let failure = extension.permissions(&identity(), &client("c1")).result.unwrap_err();
    let Failure::InvalidAnswer(why) = failure else { panic!("{failure:?}") };
    assert!(why.contains("nobody"), "{why}");
}

#[test]
fn a_flood_of_log_lines_is_cut_and_counted() {
    let mut guest = Guest::default();
    let text = guest.put(&[b'x'; 200]);
    let flood = format!(
        "(local.set $secret (i32.const 2000)) (loop $again \
         (call $event (i32.const 4) (i32.const {text}) (i32.const 200) (i32.const 0) (i32.const 0)) \
         (local.set $secret (i32.sub (local.get $secret) (i32.const 1))) \
         (br_if $again (local.get $secret)))"
    );
    let guest = guest
        .import("portcullis:host/log", "event", "$event", "(param i32 i32 i32 i32 i32)")
        .with_authenticate(&format!("{flood} {ACCEPT}"));
    let mut spec = spec(&guest);
    spec.grants.insert(Capability::Log);
    spec.limits.log_bytes_per_second = 1000;
    let extension = host().load(spec).unwrap();

    let lines = Said::default();
    let flooded = tracing::subscriber::with_default(lines.clone(), || accepts(&extension));
    assert!(flooded, "losing lines is no failure");
    let written = lines.lines().len();
    let seconds = 10; // the call's own time, on a busy machine
    assert!((5..=5 * seconds).contains(&written), "{written} lines of 200 bytes at 1000 bytes/s");
    assert_eq!(extension.stats().log_dropped, 2000 - written as u64);
}

/// Refuses a client when its own count of calls is above this.
fn counting(most: u32) -> Guest {
    let body = format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1))) \
         (if (i32.gt_u (global.get $calls) (i32.const {most})) \
           (then (i32.store8 (i32.const 1032) (i32.const 1)) (i32.store8 (i32.const 1040) (i32.const 0x87))) \
           (else {ACCEPT}))"
    );
    Guest::authenticator(&body).item("(global $calls (mut i32) (i32.const 0))")
}

/// What leaks or wears out inside of a guest does so for a while only.
#[test]
fn an_instance_is_replaced_after_so_many_calls() {
    let mut spec = spec(&counting(3));
    spec.limits.instances = 1;
    let unlimited = host().load(spec.clone()).unwrap();
    let served = |extension: &Extension| (0..10).filter(|_| accepts(extension)).count();
    assert_eq!((served(&unlimited), unlimited.stats().rebuilt), (3, 0), "one instance serves on");
    spec.limits.recycle_after_calls = 3;
    let extension = host().load(spec).unwrap();
    assert_eq!(served(&extension), 10, "its memory begins again after each third");
    let stats = extension.stats();
    assert_eq!((stats.rebuilt, stats.traps, stats.instances), (3, 0, 1));
}

#[test]
fn an_instance_is_replaced_when_it_is_old() {
    // One serves the call that it was made for, and the next, with which it is old.
    let mut spec = spec(&counting(2));
    spec.limits.instances = 1;
    spec.limits.recycle_after = Duration::from_millis(1);
    let extension = host().load(spec).unwrap();
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(5));
        assert!(accepts(&extension), "its memory begins again");
    }
    assert!(extension.stats().rebuilt >= 3, "{:?}", extension.stats());
}

#[test]
fn what_is_not_granted_cannot_be_imported() {
    let logging = Guest::authenticator(ACCEPT).import(
        "portcullis:host/log",
        "event",
        "$event",
        "(param i32 i32 i32 i32 i32)",
    );
    let error = refused(&logging);
    assert!(matches!(&error, LoadError::ForbiddenImport { grant: Some(Capability::Log), .. }));
    assert!(error.to_string().contains("add \"log\" to its `grants`"), "{error}");

    let foreign = |package: &str, interface: &'static str| {
        Guest::authenticator(ACCEPT)
            .wit(
                &format!("package {package}; interface thing {{ touch: func(); }}"),
                &format!("import {interface};"),
            )
            .import(interface, "touch", "$touch", "")
    };
    for (package, interface) in [
        ("wasi:http@0.2.0", "wasi:http/thing@0.2.0"),
        ("wasi:filesystem@0.3.0", "wasi:filesystem/thing@0.3.0"),
    ] {
        let error = refused(&foreign(package, interface));
        assert!(matches!(&error, LoadError::ForbiddenImport { grant: None, .. }));
        assert!(error.to_string().contains("random and sockets of WASI 0.2"), "{error}");
    }
    let error = refused(&foreign("evil:corp@1.0.0", "evil:corp/thing@1.0.0"));
    assert!(error.to_string().contains("evil:corp/thing@1.0.0"), "{error}");
    assert!(error.to_string().contains("nothing can grant"), "{error}");
}

#[test]
fn what_is_no_extension_is_refused_with_the_reason() {
    let error = refused(&Guest::authenticator(ACCEPT).without_lifecycle());
    assert!(matches!(error, LoadError::MissingLifecycle { .. }), "{error}");
    let error = refused(&Guest::default());
    assert!(matches!(error, LoadError::NoHook { .. }), "{error}");
    let error = refused(&Guest::authenticator(ACCEPT).pages(300));
    assert!(matches!(error, LoadError::TooBig { wanted: 19_660_800, .. }), "{error}");

    let of_bytes = |bytes: &[u8]| {
        let mut spec = spec(&Guest::authenticator(ACCEPT));
        spec.component = bytes.into();
        host().load(spec).unwrap_err()
    };
    let error = of_bytes(&wat::parse_str("(module)").unwrap());
    assert!(matches!(error, LoadError::NotAComponent { .. }), "{error}");
    assert!(matches!(of_bytes(b"\x7fELF\x02\x01\x01"), LoadError::NotAComponent { .. }));
    let cut = Guest::authenticator(ACCEPT).build();
    assert!(matches!(of_bytes(&cut[..cut.len() / 2]), LoadError::Compile { .. }));

    let mut pinned = spec(&Guest::authenticator(ACCEPT));
    pinned.sha256_pin = Some([7; 32]);
    assert!(matches!(host().load(pinned), Err(LoadError::HashMismatch { .. })));
    let mut greedy = spec(&Guest::authenticator(ACCEPT));
    greedy.limits.memory_bytes = 1 << 30;
    assert!(matches!(host().load(greedy), Err(LoadError::BadLimit { .. })));
}

#[test]
fn an_interface_with_other_types_is_refused() {
    let text = r#"(component
      (core module $m (func (export "init") (result i32) (i32.const 0)) (func (export "authenticate")))
      (core instance $i (instantiate $m))
      (func $init (result (result)) (canon lift (core func $i "init")))
      (func $authenticate (canon lift (core func $i "authenticate")))
      (instance $lifecycle (export "init" (func $init)))
      (instance $authenticator (export "authenticate" (func $authenticate)))
      (export "portcullis:gateway/lifecycle@0.1.0" (instance $lifecycle))
      (export "portcullis:gateway/authenticator@0.1.0" (instance $authenticator)))"#;
    let mut spec = spec(&Guest::authenticator(ACCEPT));
    spec.component = wat::parse_str(text).unwrap().into();
    let error = host().load(spec).unwrap_err();
    assert!(matches!(error, LoadError::WrongWorld { .. }), "{error}");
}

#[test]
fn a_guest_that_cannot_start_is_refused_in_time() {
    let mut spec = spec(&Guest::authenticator(ACCEPT).init(ENDLESS));
    spec.limits.deadline_init = DEADLINE;
    let began = Instant::now();
    let error = host().load(spec).unwrap_err();
    assert!(matches!(error, LoadError::InitTrapped { failure: Failure::Deadline, .. }), "{error}");
    assert!(began.elapsed() < DEADLINE + PATIENCE, "compilation included");
    let error = refused(&Guest::authenticator(ACCEPT).init(TRAP));
    assert!(matches!(error, LoadError::InitTrapped { failure: Failure::Trap(_), .. }), "{error}");
}

#[test]
fn a_guest_that_keeps_failing_is_left_alone_and_tried_again() {
    let mut spec = spec(
        &Guest::authenticator(&provoked(TRAP, ACCEPT)).granting(&[allow("#")], Fallback::Deny),
    );
    spec.limits.breaker.failures = 3;
    let backoff = DEADLINE * 10;
    spec.limits.breaker.backoff_first = backoff;
    let extension = host().load(spec).unwrap();
    for _ in 0..3 {
        let failure = extension.authenticate(&client("!"), None).result.unwrap_err();
        assert!(matches!(failure, Failure::Trap(_)));
    }
    let turned_away = extension.authenticate(&client("c1"), None).result.unwrap_err();
    assert!(matches!(turned_away, Failure::BreakerOpen { retry_in } if retry_in <= backoff));
    let permissions = extension.permissions(&identity(), &client("c1"));
    assert!(permissions.result.is_ok(), "clients that are in are not affected");
    std::thread::sleep(backoff);
    assert!(accepts(&extension));
    assert!(accepts(&extension));
    let stats = extension.stats();
    assert_eq!((stats.breaker_open, stats.turned_away), (1, 1));
}

#[test]
fn callers_wait_for_an_instance_no_longer_than_the_deadline() {
    let mut spec = spec(&Guest::authenticator(&provoked(ENDLESS, ACCEPT)));
    spec.limits.deadline_authenticate = DEADLINE;
    spec.limits.instances = 1;
    let extension = host().load(spec).unwrap();
    let together = Barrier::new(4);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                together.wait();
                let answer = extension.authenticate(&client("!"), None);
                assert!(answer.took < DEADLINE * 2 + PATIENCE, "{:?}", answer.took);
                failures.lock().unwrap().push(answer.result.unwrap_err());
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.contains(&Failure::Deadline) && failures.contains(&Failure::Saturated));
    assert!(accepts(&extension));
    assert_eq!(extension.stats().instances, 1);
}

/// After an outage all clients come at once: none is refused because others are being decided about for longer than a
/// question about a publish may take.
#[test]
fn permissions_wait_for_an_instance_as_long_as_authentication_does() {
    let guest = Guest::authenticator(&provoked(ENDLESS, ACCEPT));
    let mut spec = spec(&guest.granting(&[allow("#")], Fallback::Deny));
    let deadline = DEADLINE * 10;
    spec.limits.deadline_authenticate = deadline;
    spec.limits.deadline_authorize = Duration::from_millis(1);
    spec.limits.instances = 1;
    let extension = host().load(spec).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| extension.authenticate(&client("!"), None).result.unwrap_err());
        std::thread::sleep(deadline / 2);
        let permissions = extension.permissions(&identity(), &client("c1"));
        assert!(permissions.result.unwrap().is_some());
    });
}

#[test]
fn another_extension_does_not_notice() {
    let hostile = provocable(ENDLESS);
    let good = load(&Guest::authenticator(ACCEPT));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..4 {
                let _ = hostile.authenticate(&client("!"), None);
            }
            stop.store(true, Ordering::SeqCst);
        });
        let mut calls = 0;
        while !stop.load(Ordering::SeqCst) {
            assert!(accepts(&good));
            calls += 1;
        }
        assert!(calls > 100, "{calls} calls in the time of four deadlines");
    });
    let stats = good.stats();
    assert_eq!((stats.traps, stats.deadline_exceeded, stats.saturated), (0, 0, 0));
}
