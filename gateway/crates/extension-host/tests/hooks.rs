//! What a well-behaved guest gets and gives.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod guest;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use guest::{ABSTAIN, ACCEPT, Fallback, Guest, Rule, allow};
use mqtt::{QoS, ReasonCode};
use portcullis_extension_host::{
    AuthenticationOutcome, Capability, Extension, Facilities, Failure, Hooks, LoadError,
    Publication, SubscriptionRequest, Verdict, Verdicts,
};
use support::{client, host, identity, load, refused, spec};

#[test]
fn accept_carries_principal_and_permissions() {
    let guest = Guest::default().accepting(
        &[allow("devices/${client-id}/#"), Rule { deny: true, actions: 1, filter: "secret/#" }],
        Fallback::Ask,
    );
    let extension = load(&guest);
    assert_eq!(extension.hooks(), Hooks { authenticator: true, ..Hooks::default() });
    let answer = extension.authenticate(&client("c1"), Some(b"pw"));
    let AuthenticationOutcome::Accept(grant) = answer.result.unwrap() else { panic!("accepted") };
    assert_eq!(&*grant.principal, "c1");
    let permissions = grant.permissions.unwrap();
    assert_eq!(permissions.fallback, auth::Fallback::Ask);
    assert_eq!(permissions.source, extension.id());
    let [first, second] = &permissions.rules[..] else { panic!("two rules") };
    assert_eq!(first.filter, "devices/${client-id}/#");
    assert_eq!((first.effect, first.actions), (auth::Effect::Allow, auth::Actions::BOTH));
    assert_eq!((first.max_qos, first.retain), (QoS::ExactlyOnce, true));
    assert_eq!((second.effect, second.actions), (auth::Effect::Deny, auth::Actions::PUBLISH));
}

#[test]
fn reject_and_abstain() {
    let reject = load(&Guest::authenticator(
        "(i32.store8 (i32.const 1032) (i32.const 1)) (i32.store8 (i32.const 1040) (i32.const 0x86))",
    ));
    let answer = reject.authenticate(&client("c1"), None).result.unwrap();
    assert!(matches!(
        answer,
        AuthenticationOutcome::Reject { code: ReasonCode::BadUserNameOrPassword, reason: None }
    ));
    let abstain = load(&Guest::authenticator(ABSTAIN));
    let answer = abstain.authenticate(&client("c1"), None).result.unwrap();
    assert!(matches!(answer, AuthenticationOutcome::Abstain));
}

#[test]
fn a_guest_reads_its_connection_only_during_the_call() {
    // The principal is the SNI that the getter returns: option<string> at 2048.
    let guest = Guest::authenticator(
        "(call $server_name (local.get $conn) (i32.const 2048)) \
         (i32.store (i32.const 1040) (i32.load (i32.const 2052))) \
         (i32.store (i32.const 1044) (i32.load (i32.const 2056)))",
    )
    .import(
        "portcullis:gateway/types",
        "[method]connection.server-name",
        "$server_name",
        "(param i32 i32)",
    );
    let extension = load(&guest);
    let answer = extension.authenticate(&client("c1"), None).result.unwrap();
    let AuthenticationOutcome::Accept(grant) = answer else { panic!("accepted") };
    assert_eq!(&*grant.principal, "broker.example");

    let forged = Guest::authenticator("(drop (call $keep_alive (i32.const 77)))").import(
        "portcullis:gateway/types",
        "[method]connection.keep-alive",
        "$keep_alive",
        "(param i32) (result i32)",
    );
    let failure = load(&forged).authenticate(&client("c1"), None).result.unwrap_err();
    assert!(matches!(&failure, Failure::Trap(_) | Failure::InvalidAnswer(_)), "{failure:?}");

    let kept = load(&Guest::authenticator(ACCEPT).keeping_handles());
    let failure = kept.authenticate(&client("c1"), None).result.unwrap_err();
    assert!(
        matches!(&failure, Failure::InvalidAnswer(why) if why.contains("borrow")),
        "{failure:?}"
    );
}

#[test]
fn permissions_publish_and_subscribe() {
    let guest = Guest::authorizer()
        .granting(&[allow("a/#")], Fallback::Ask)
        // Denies whatever has QoS 2.
        .authorize_publish(
            "(if (i32.eq (local.get $qos) (i32.const 2)) (then \
               (i32.store8 (i32.const 1028) (i32.const 1)) \
               (i32.store8 (i32.const 1029) (i32.const 0x87))))",
        )
        // Verdicts at 2048: the first allows, the second denies.
        .authorize_subscribe(
            "(memory.fill (i32.const 2048) (i32.const 0) (i32.const 80)) \
             (i32.store8 (i32.const 2088) (i32.const 1)) \
             (i32.store8 (i32.const 2089) (i32.const 0x8f)) \
             (i32.store (i32.const 1028) (i32.const 2048)) \
             (i32.store (i32.const 1032) (local.get $count))",
        );
    let extension = load(&guest);
    let (who, conn) = (identity(), client("c1"));
    let permissions = extension.permissions(&who, &conn).result.unwrap().unwrap();
    assert_eq!(permissions.rules[0].filter, "a/#");

    let verdict = extension.authorize_publish(&who, &conn, &publication()).result.unwrap();
    assert_eq!(verdict, Verdict::Allow { reason: None, validity: None });
    let twice = Publication { qos: QoS::ExactlyOnce, ..publication() };
    let verdict = extension.authorize_publish(&who, &conn, &twice).result.unwrap();
    assert_eq!(
        verdict,
        Verdict::Deny { code: ReasonCode::NotAuthorized, reason: None, validity: None }
    );

    let filter =
        |filter| SubscriptionRequest { filter, share_group: Some("g"), qos: QoS::AtMostOnce };
    let verdicts =
        extension.authorize_subscribe(&who, &conn, &[filter("x/#"), filter("y")]).result.unwrap();
    assert_eq!(verdicts.len(), 2);
    assert_eq!(
        verdicts[1],
        Verdict::Deny { code: ReasonCode::TopicFilterInvalid, reason: None, validity: None }
    );
    assert_eq!(extension.stats().calls, 4);
}

#[test]
fn an_absent_hook_is_a_failure_and_no_fault() {
    let extension = load(&Guest::authenticator(ACCEPT));
    let answer = extension.permissions(&identity(), &client("c1"));
    assert_eq!(answer.result, Err(Failure::NoHook));
    assert_eq!(extension.stats().rebuilt, 0);
}

#[test]
fn a_guest_may_say_that_it_cannot_work() {
    let mut guest = Guest::default();
    let why = guest.put(b"database is away\n");
    let extension = load(&guest.with_authenticate(&format!(
        "(i32.store8 (i32.const 1024) (i32.const 1)) \
         (i32.store (i32.const 1036) (i32.const {why})) \
         (i32.store (i32.const 1040) (i32.const 17))"
    )));
    for _ in 0..20 {
        let failure = extension.authenticate(&client("c1"), None).result.unwrap_err();
        assert_eq!(failure, Failure::Unavailable("database is away ".into()));
    }
    let stats = extension.stats();
    assert_eq!((stats.unavailable, stats.rebuilt, stats.breaker_open), (20, 0, 0));
}

/// `init` asks for the key "mode" and refuses the extension when it is not there; `authenticate`
/// answers with its value as the principal.
fn configured() -> Guest {
    let mut guest = Guest::default();
    let key = guest.put(b"mode");
    let get = format!("(call $get (i32.const {key}) (i32.const 4) (i32.const 2048))");
    guest
        .import("portcullis:host/config", "get", "$get", "(param i32 i32 i32)")
        .init(&format!(
            "{get} (if (i32.eqz (i32.load8_u (i32.const 2048))) (then \
               (i32.store8 (i32.const 1024) (i32.const 1)) \
               (i32.store (i32.const 1028) (i32.const {key})) \
               (i32.store (i32.const 1032) (i32.const 4))))"
        ))
        .with_authenticate(&format!(
            "{get} (i32.store (i32.const 1040) (i32.load (i32.const 2052))) \
             (i32.store (i32.const 1044) (i32.load (i32.const 2056)))"
        ))
}

#[test]
fn configuration_is_replaced_between_calls_or_not_at_all() {
    let settings = |mode: &str| BTreeMap::from([("mode".to_owned(), mode.to_owned())]);
    let mut spec = spec(&configured());
    spec.grants.insert(Capability::Config);
    let name = |extension: &portcullis_extension_host::Extension| match extension
        .authenticate(&client("c1"), None)
        .result
        .unwrap()
    {
        AuthenticationOutcome::Accept(grant) => grant.principal.to_string(),
        other => panic!("{other:?}"),
    };

    let error = host().load(spec.clone()).unwrap_err();
    assert_eq!(error, LoadError::InitFailed { extension: "test".into(), reason: "mode".into() });
    spec.config = settings("one");
    let extension = host().load(spec).unwrap();
    assert_eq!(name(&extension), "one");
    extension.reconfigure(settings("two"), Arc::default(), Facilities::default()).unwrap();
    assert_eq!(name(&extension), "two");
    extension.reconfigure(BTreeMap::new(), Arc::default(), Facilities::default()).unwrap_err();
    assert_eq!(name(&extension), "two");
    assert_eq!(extension.stats().instances, 1, "old instances are gone");
}

#[test]
fn passwords_are_checked_natively_and_off_the_clock() {
    let cost = auth::password::Cost { iterations: 12, ..auth::password::Cost::DEFAULT };
    let hash = auth::password::hash(b"correct", &[7; 16], cost).unwrap();
    let mut guest = Guest::default();
    let at = guest.put(hash.as_bytes());
    // Rejects with 0x86 unless the check says "match", which is 0.
    let guest = guest
        .import(
            "portcullis:host/credentials",
            "verify-password",
            "$verify",
            "(param i32 i32 i32 i32) (result i32)",
        )
        .with_authenticate(&format!(
            "(if (call $verify (local.get $secret) (local.get $secret_len) \
                   (i32.const {at}) (i32.const {len})) \
               (then (i32.store8 (i32.const 1032) (i32.const 1)) \
                     (i32.store8 (i32.const 1040) (i32.const 0x86))) \
               (else {ACCEPT}))",
            len = hash.len()
        ));
    let mut spec = spec(&guest);
    spec.grants.insert(Capability::Credentials);
    let deadline = Duration::from_millis(50);
    spec.limits.deadline_authenticate = deadline;
    let extension = host().load(spec).unwrap();
    let answer = extension.authenticate(&client("c1"), Some(b"correct"));
    assert!(answer.took > deadline, "{:?}: the check was too cheap to show anything", answer.took);
    let answer = answer.result.unwrap();
    assert!(matches!(answer, AuthenticationOutcome::Accept(_)), "{answer:?}");
    let answer = extension.authenticate(&client("c1"), Some(b"wrong")).result.unwrap();
    assert!(matches!(answer, AuthenticationOutcome::Reject { .. }), "{answer:?}");
}

#[test]
fn newer_patch_versions_of_the_contract_load_and_other_lines_do_not() {
    let extension = load(&Guest::authenticator(ACCEPT).version("0.1.9"));
    assert!(extension.authenticate(&client("c1"), None).result.is_ok());

    let error = refused(&Guest::authenticator(ACCEPT).version("0.2.0"));
    assert!(
        matches!(&error, LoadError::ContractVersion { wanted, spoken: "0.1", .. }
        if wanted.ends_with("@0.2.0")),
        "{error}"
    );
}

#[test]
fn clients_that_send_too_much_are_refused_whole() {
    let extension = load(&Guest::authenticator(ACCEPT));
    let mut big = (*client("c1")).clone();
    big.user_properties = vec![("k".into(), "v".repeat(60_000)); 3];
    let failure = extension.authenticate(&Arc::new(big), None).result.unwrap_err();
    assert!(matches!(failure, Failure::ClientTooLarge { bytes: 180_023, .. }), "{failure:?}");
}

fn publication() -> Publication<'static> {
    Publication { topic: "a/b", qos: QoS::AtMostOnce, retain: false, payload_len: 5 }
}

/// A publish that guests here are asked about.
const PUBLICATION: Publication<'static> =
    Publication { topic: "a/b", qos: mqtt::QoS::AtLeastOnce, retain: false, payload_len: 4 };

/// Asks until the extension answers at once, or so many times.
fn becomes_quick(extension: &Extension, calls: u32) -> bool {
    let (who, conn) = (identity(), client("c1"));
    (0..calls).any(|_| {
        extension.authorize_publish(&who, &conn, &PUBLICATION).result.unwrap();
        extension.sit(&who, &conn).is_some()
    })
}

#[test]
fn an_authorizer_that_is_quick_answers_where_nobody_can_wait() {
    let slow_for_b = "(if (i32.eq (i32.load8_u (local.get $topic)) (i32.const 98)) \
        (then (loop $again (br $again))))";
    let guest = Guest::authorizer().authorize_publish(slow_for_b);
    let extension = load(&guest);
    let (who, conn) = (identity(), client("c1"));
    assert!(extension.sit(&who, &conn).is_none(), "nobody knows yet how quick it is");
    assert!(becomes_quick(&extension, 5000));
    let before = extension.stats().calls;
    let mut sitting = extension.sit(&who, &conn).unwrap();
    for _ in 0..10 {
        let allowed = Verdict::Allow { reason: None, validity: None };
        assert_eq!(sitting.authorize_publish(&PUBLICATION), Some(Ok(allowed)));
    }
    let slow = Publication { topic: "b", ..PUBLICATION };
    let began = std::time::Instant::now();
    assert_eq!(sitting.authorize_publish(&slow), None);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    assert_eq!(sitting.authorize_publish(&PUBLICATION), None, "the instance is gone");
    drop(sitting);
    assert_eq!(extension.stats().calls - before, 11);
    assert!(extension.sit(&who, &conn).is_none(), "it has to prove itself anew");
    assert_eq!(extension.stats().deadline_exceeded, 0, "nobody was refused");

    let mut spec = spec(&guest);
    spec.grants = [Capability::Credentials].into();
    let may_wait = host().load(spec).unwrap();
    assert!(!becomes_quick(&may_wait, 500), "its next call may check a password");
}

#[test]
fn a_verdict_says_for_what_else_it_holds() {
    let mut guest = Guest::authorizer();
    let filter = guest.put(b"a/#");
    let valid = |filter: &str| {
        format!(
            "(i32.store8 (i32.const 1044) (i32.const 1)) (i32.store (i32.const 1048) (i32.const 5000)) \
             {filter} (i32.store8 (i32.const 1064) (i32.const 1))"
        )
    };
    let with_filter = |bytes: usize| {
        format!(
            "(i32.store8 (i32.const 1052) (i32.const 1)) (i32.store (i32.const 1056) (i32.const {filter})) \
             (i32.store (i32.const 1060) (i32.const {bytes}))"
        )
    };
    let verdict = |body: &str| {
        let extension = load(&guest.clone().authorize_publish(body));
        extension.authorize_publish(&identity(), &client("c1"), &PUBLICATION).result
    };
    let five = std::time::Duration::from_secs(5);
    let Ok(Verdict::Allow { validity: Some(topic), .. }) = verdict(&valid("")) else { panic!() };
    assert_eq!((topic.time, topic.filter), (five, None));
    assert_eq!((topic.max_qos, topic.retain), (mqtt::QoS::AtLeastOnce, false));
    let Ok(Verdict::Allow { validity: Some(wide), .. }) = verdict(&valid(&with_filter(3))) else {
        panic!()
    };
    assert_eq!(wide.filter.unwrap().as_str(), "a/#");
    let failure = verdict(&valid(&with_filter(0))).unwrap_err();
    assert!(failure.to_string().contains("not a topic filter"), "{failure}");
}

fn each(said: Option<Result<Verdicts, Failure>>) -> Vec<Verdict> {
    match said {
        Some(Ok(Verdicts::Each(verdicts))) => verdicts,
        other => panic!("{other:?}"),
    }
}

/// Two verdicts for two publishes: the first allows, the second denies with 0x87.
const TWO_VERDICTS: &str = "(memory.fill (i32.const 2048) (i32.const 0) (i32.const 80)) \
    (i32.store8 (i32.const 2088) (i32.const 1)) (i32.store8 (i32.const 2089) (i32.const 0x87)) \
    (i32.store (i32.const 1028) (i32.const 2048)) (i32.store (i32.const 1032) (i32.const 2))";

#[test]
fn publishes_that_come_together_are_judged_in_one_call() {
    // Verdicts only if the second publish is the one that is expected.
    let expected = "(i32.and (i32.eq (i32.load offset=20 (local.get $list)) (i32.const 1)) \
        (i32.eq (i32.load offset=28 (local.get $list)) (i32.const 9)))";
    let body = format!("(if {expected} (then {TWO_VERDICTS}))");
    let extension = load(&Guest::authorizer().with_batch(&body));
    let hooks = Hooks { authorizer: true, batch_authorizer: true, ..Hooks::default() };
    assert_eq!(extension.hooks(), hooks);
    assert!(becomes_quick(&extension, 5000));
    let (who, conn) = (identity(), client("c1"));
    let before = extension.stats().calls;
    let other = Publication { topic: "b", payload_len: 9, ..PUBLICATION };
    let mut sitting = extension.sit(&who, &conn).unwrap();
    assert!(sitting.takes_batches());
    let verdicts = each(sitting.authorize_publishes(&[PUBLICATION, other]));
    assert_eq!(verdicts[0], Verdict::Allow { reason: None, validity: None });
    assert!(matches!(&verdicts[1], Verdict::Deny { code: ReasonCode::NotAuthorized, .. }));
    assert!(matches!(sitting.authorize_publish(&PUBLICATION), Some(Ok(Verdict::Allow { .. }))));
    let failure = sitting.authorize_publishes(&[PUBLICATION, PUBLICATION]).unwrap().unwrap_err();
    assert!(
        matches!(&failure, Failure::InvalidAnswer(why) if why == "0 verdicts for 2 publishes"),
        "{failure}"
    );
    assert_eq!(sitting.authorize_publishes(&[PUBLICATION, other]), None, "the instance is gone");
    drop(sitting);
    assert_eq!(extension.stats().calls - before, 3);

    let singly = load(&Guest::authorizer());
    assert!(becomes_quick(&singly, 5000));
    let mut sitting = singly.sit(&who, &conn).unwrap();
    assert!(!sitting.takes_batches());
    assert_eq!(sitting.authorize_publishes(&[PUBLICATION, other]), None);
    assert!(sitting.authorize_publish(&PUBLICATION).is_some(), "it is asked one by one");
}

#[test]
fn publishes_in_one_piece_are_judged_in_one_call_alone_and_together() {
    // One is allowed as it is; of two there are verdicts if the second is the one that is expected.
    let expected = "(i32.and (i32.eq (i32.load offset=16 (local.get $each)) (i32.const 9)) \
        (i32.eq (i32.const 1) (i32.sub (i32.load offset=12 (local.get $each)) (i32.load (local.get $each)))))";
    let body = format!(
        "(if (i32.ne (local.get $count) (i32.const 1)) (then (i32.store8 (i32.const 1028) (i32.const 1)) \
         (if {expected} (then {}))))",
        TWO_VERDICTS.replace("1032", "1036").replace("1028", "1032")
    );
    let guest = Guest::authorizer().with_batch("unreachable").with_bulk(&body);
    let extension = load(&guest);
    assert!(extension.hooks().bulk_authorizer);
    assert!(becomes_quick(&extension, 5000));
    let (who, conn) = (identity(), client("c1"));
    let before = extension.stats().calls;
    let other = Publication { topic: "b", payload_len: 9, ..PUBLICATION };
    let mut sitting = extension.sit(&who, &conn).unwrap();
    assert!(sitting.takes_batches());
    let allowed = Verdict::Allow { reason: None, validity: None };
    assert_eq!(sitting.authorize_publishes(&[PUBLICATION]), Some(Ok(Verdicts::AllAllowed)));
    let verdicts = each(sitting.authorize_publishes(&[PUBLICATION, other]));
    assert_eq!(verdicts[0], allowed);
    assert!(matches!(&verdicts[1], Verdict::Deny { code: ReasonCode::NotAuthorized, .. }));
    let failure = sitting.authorize_publishes(&[PUBLICATION, PUBLICATION]).unwrap().unwrap_err();
    assert!(
        matches!(&failure, Failure::InvalidAnswer(why) if why == "0 verdicts for 2 publishes"),
        "{failure}"
    );
    drop(sitting);
    assert_eq!(extension.stats().calls - before, 3);
}

/// 10 messages a second and 20 at once, 5 subscriptions.
const LIMITS: &str = "(i32.store8 (i32.const 1028) (i32.const 1)) (i32.store (i32.const 1032) (i32.const 10)) \
    (i32.store (i32.const 1036) (i32.const 20)) \
    (i32.store8 (i32.const 1056) (i32.const 1)) (i32.store (i32.const 1060) (i32.const 5))";

#[test]
fn limits_are_asked_for_by_themselves_and_must_limit_to_something() {
    let asked = |body: &str| {
        let extension = load(&Guest::default().with_limits(body));
        assert_eq!(extension.hooks(), Hooks { client_limits: true, ..Hooks::default() });
        extension.limits(&identity(), &client("c1")).result
    };
    let limits = asked(LIMITS).unwrap();
    assert_eq!(limits.to_string(), "messages=10/s messages-burst=20 subscriptions=5");
    assert_eq!(asked("").unwrap(), auth::Limits::default());
    let without_burst = format!("{LIMITS} (i32.store (i32.const 1036) (i32.const 0))");
    let stalled = "(i32.store8 (i32.const 1052) (i32.const 1))";
    for body in [&*without_burst, stalled] {
        let failure = asked(body).unwrap_err();
        assert!(
            matches!(&failure, Failure::InvalidAnswer(why) if why.contains("the least is 1")),
            "{failure}"
        );
    }
    let without = load(&Guest::authorizer());
    assert_eq!(without.limits(&identity(), &client("c1")).result, Err(Failure::NoHook));
}
