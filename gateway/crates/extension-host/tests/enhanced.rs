//! Enhanced authentication as an extension gets and gives it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod guest;
mod support;

use guest::{ABSTAIN, ENDLESS, Guest, TRAP, TWO_STEPS, allow};
use mqtt::ReasonCode;
use portcullis_extension_host::{
    BreakerSettings, Challenge, Extension, Failure, Hooks, LoadError, Progress, Step,
};
use std::time::Duration;
use support::{client, host, identity, load, refused, spec};

fn first(extension: &Extension) -> Result<Progress, Failure> {
    let step = Step { method: "M", data: None, state: None };
    extension.step(None, &client("c1"), step).result
}

fn enhanced(body: &str) -> Extension {
    load(&Guest::enhanced(&["M"], body))
}

#[test]
fn any_instance_goes_on_with_an_exchange() {
    let guest = Guest::enhanced(&["M", "N"], TWO_STEPS);
    let extension = load(&guest);
    let hooks = Hooks { enhanced_authenticator: true, ..Hooks::default() };
    assert_eq!(extension.hooks(), hooks);
    assert!(extension.offers("M") && extension.offers("N") && !extension.offers("m"));
    let Progress::More(Challenge { data, state }) = first(&extension).unwrap() else {
        panic!("a challenge")
    };
    assert_eq!((data.as_deref(), state.state()), (Some(&b"?"[..]), &b"?"[..]));

    let fresh = load(&guest);
    let answer = |data| Step { method: "M", data: Some(data), state: Some(&state) };
    let right = fresh.step(None, &client("c1"), answer(b"yes")).result.unwrap();
    let Progress::Accept { grant, data } = right else { panic!("accepted") };
    assert_eq!((&*grant.principal, data.as_deref()), ("c1", Some(&b"!"[..])));
    let wrong = fresh.step(None, &client("c1"), answer(b"no")).result.unwrap();
    assert!(matches!(wrong, Progress::Reject { code: ReasonCode::NotAuthorized, reason: None }));
}

#[test]
fn a_re_authentication_shows_who_the_client_is() {
    // Accepts the principal as which the client is known; abstains for strangers.
    let extension = enhanced(&format!(
        "(if (i32.and (local.get $again) (local.get $principal_some)) (then \
           (i32.store (i32.const 1040) (local.get $principal)) \
           (i32.store (i32.const 1044) (local.get $principal_len))) \
         (else {ABSTAIN}))"
    ));
    assert!(matches!(first(&extension), Ok(Progress::Abstain)));
    let step = Step { method: "M", data: Some(b"x"), state: None };
    let again = extension.step(Some(&identity()), &client("c1"), step).result.unwrap();
    let Progress::Accept { grant, data: None } = again else { panic!("accepted") };
    assert_eq!(&*grant.principal, "p1");
}

#[test]
fn an_acceptance_carries_what_a_grant_does() {
    let rules = Guest::enhanced(&["M"], "").accepting(&[allow("a/#")], guest::Fallback::Deny);
    // The acceptance lies in memory as the grant does, with a validity behind it.
    let body = rules.authenticate_body();
    let guest = rules.with_step(
        &["M"],
        &format!(
            "{body} (i32.store8 (i32.const 1072) (i32.const 1)) \
             (i64.store (i32.const 1080) (i64.const 60000))"
        ),
    );
    let Ok(Progress::Accept { grant, data: None }) = first(&load(&guest)) else {
        panic!("accepted")
    };
    assert_eq!(grant.valid_for_ms, Some(60_000));
    assert_eq!(grant.permissions.unwrap().rules[0].filter, "a/#");
}

#[test]
fn an_answer_outside_of_the_contract_is_a_failure() {
    let store = |at: u32, value: u32| format!("(i32.store (i32.const {at}) (i32.const {value})) ");
    let more = store(1032, 3);
    let cases = [
        ("a principal of 0 bytes", String::new()),
        ("0x91 cannot refuse in CONNACK", store(1032, 1) + &store(1040, 0x91)),
        ("a state of 16385 bytes", more.clone() + &store(1056, (16 << 10) + 1)),
        ("authentication data of 65536 bytes", more + &store(1040, 1) + &store(1048, 65_536)),
    ];
    for (why, body) in cases {
        let failure = first(&enhanced(&body)).unwrap_err();
        assert!(
            matches!(&failure, Failure::InvalidAnswer(text) if text.contains(why)),
            "{why}: {failure:?}"
        );
    }
}

#[test]
fn methods_are_checked_when_the_extension_is_loaded() {
    for methods in [&[][..], &[""], &["M", "M"], &["a\nb"]] {
        let error = refused(&Guest::enhanced(methods, TWO_STEPS));
        assert!(matches!(&error, LoadError::BadMethods { .. }), "{methods:?}: {error}");
    }
    let mut slow = spec(&Guest::enhanced(&[], TWO_STEPS).methods(ENDLESS));
    slow.limits.deadline_init = Duration::from_millis(50);
    let error = host().load(slow).unwrap_err();
    assert!(matches!(&error, LoadError::InitTrapped { failure: Failure::Deadline, .. }), "{error}");
    assert!(!load(&Guest::authenticator(ABSTAIN)).offers(""));
}

#[test]
fn a_step_has_a_deadline_and_a_breaker_of_its_own() {
    let guest = Guest::enhanced(&["M"], ENDLESS).with_authenticate(ABSTAIN);
    let mut slow = spec(&guest);
    slow.limits.deadline_authenticate = Duration::from_millis(50);
    assert_eq!(first(&host().load(slow).unwrap()).unwrap_err(), Failure::Deadline);

    let mut failing = spec(&Guest::enhanced(&["M"], TRAP).with_authenticate(ABSTAIN));
    failing.limits.breaker = BreakerSettings { failures: 2, ..BreakerSettings::default() };
    let failing = host().load(failing).unwrap();
    for _ in 0..2 {
        assert!(matches!(first(&failing), Err(Failure::Trap(_))));
    }
    assert!(matches!(first(&failing), Err(Failure::BreakerOpen { .. })));
    assert!(failing.authenticate(&client("c1"), None).result.is_ok(), "passwords still work");
    let step = Step { method: "M", data: None, state: None };
    let again = failing.step(Some(&identity()), &client("c1"), step).result;
    assert!(matches!(again, Err(Failure::Trap(_))), "clients that are in have their own breaker");
}

#[test]
fn an_extension_without_the_hook_has_no_step() {
    let extension = load(&Guest::authenticator(ABSTAIN));
    assert_eq!(first(&extension).unwrap_err(), Failure::NoHook);
}
