//! What an observer is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod guest;
mod support;

use std::time::{Duration, Instant};

use guest::{ENDLESS, Guest, TRAP};
use portcullis_extension_host::{Extension, Failure, Hooks, Mode, Observed};
use support::{host, load, spec};

const UNAVAILABLE: &str = "(i32.store8 (i32.const 1024) (i32.const 1))";

fn observing(body: &str) -> Guest {
    Guest::default().with_observer(body)
}

fn event<'a>(kind: &'a str, principal: Option<&'a str>) -> Observed<'a> {
    Observed { at_ms: 7, client_id: "c1", principal, kind, details: vec![("a", "b"), ("c", "d")] }
}

fn tell(extension: &Extension, missed: u64) -> (Result<(), Failure>, String) {
    let events = [event("connected", Some("p1")), event("gone", None)];
    let answer = extension.observe(&events, missed);
    (answer.result, answer.by.to_string())
}

#[test]
fn events_come_in_their_order_with_all_that_belongs_to_them() {
    // An error unless all is as it was told.
    let expected = [
        ("(local.get $count)", 2),
        ("(i32.wrap_i64 (local.get $missed))", 5),
        ("(i32.wrap_i64 (i64.load (local.get $list)))", 7),
        ("(i32.load offset=12 (local.get $list))", 2),
        ("(i32.load8_u offset=16 (local.get $list))", 1),
        ("(i32.load offset=32 (local.get $list))", 9),
        ("(i32.load offset=40 (local.get $list))", 2),
        ("(i32.load8_u offset=64 (local.get $list))", 0),
        ("(i32.load offset=80 (local.get $list))", 4),
    ];
    let all = expected.iter().fold("(i32.const 1)".to_owned(), |all, (value, expected)| {
        format!("(i32.and {all} (i32.eq {value} (i32.const {expected})))")
    });
    let extension = load(&observing(&format!("(if (i32.eqz {all}) (then {UNAVAILABLE}))")));
    assert_eq!(extension.hooks(), Hooks { observer: true, ..Hooks::default() });
    assert_eq!(tell(&extension, 5).0, Ok(()));
    assert_eq!(tell(&extension, 6).0, Err(Failure::Unavailable(String::new())));
    assert_eq!(extension.stats().unavailable, 1);
}

#[test]
fn an_observer_has_a_deadline_and_a_breaker_of_its_own() {
    let mut slow = spec(&observing(ENDLESS));
    slow.limits.deadline_observe = Duration::from_millis(20);
    let began = Instant::now();
    assert_eq!(tell(&host().load(slow).unwrap(), 0).0, Err(Failure::Deadline));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());

    let failing = load(&observing(TRAP));
    for _ in 0..10 {
        assert!(matches!(tell(&failing, 0).0, Err(Failure::Trap(_))));
    }
    assert!(matches!(tell(&failing, 0).0, Err(Failure::BreakerOpen { .. })));
    let resting: Vec<_> =
        failing.versions().running.resting.iter().map(|(hook, _)| *hook).collect();
    assert_eq!(resting, ["observe"]);
    assert_eq!(tell(&load(&Guest::authorizer()), 0).0, Err(Failure::NoHook));
}

#[test]
fn a_version_on_trial_is_told_and_one_that_fails_is_taken_back() {
    let extension = load(&observing(""));
    let first = extension.id().to_string();
    for mode in [Mode::Shadow, Mode::Canary(99)] {
        extension.introduce(host(), spec(&observing(UNAVAILABLE)), mode).unwrap();
        assert_eq!(tell(&extension, 0), (Ok(()), first.clone()), "{mode:?}");
    }
    let trial = Mode::Trial(Duration::from_secs(3600));
    extension.introduce(host(), spec(&observing(UNAVAILABLE)), trial).unwrap();
    assert!(tell(&extension, 0).0.is_err());
    extension.introduce(host(), spec(&observing(TRAP)), trial).unwrap();
    for _ in 0..4 {
        assert_eq!(tell(&extension, 0), (Ok(()), first.clone()));
    }
    assert_eq!((extension.candidate(), extension.stats().rolled_back), (None, 1));
}
