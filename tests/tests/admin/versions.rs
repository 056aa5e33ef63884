//! New versions of extensions and of rules, tried before they count.

use std::fs;
use std::time::Instant;

use mqtt::ReasonCode;
use portcullis_tests::{Gateway, Operator, PATIENCE, Site};
use serde_json::Value;

use crate::guest::TRAP;
use crate::{DENY, NOBODY, asked_site, guest_of, policy, text};

#[test]
fn versions_are_compared_promoted_and_given_up() {
    let (site, port) = asked_site();
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start_with(&site, 3);
    let mut client = gateway.options("device-7").plain_at(port).connect();
    assert_eq!(client.publish_and_wait("a", b"", false), NOBODY);
    let first =
        text(&operator.asks(&["extension", "status", "policy"])["running"], "version").to_owned();

    assert_eq!(operator.asks(&["extension", "reload", "policy"])["outcome"], "unchanged");
    fs::write(site.path("policy.wasm"), policy(DENY)).expect("the component is written");
    let answer = operator.asks(&["extension", "reload", "policy", "--mode", "shadow"]);
    assert_eq!(
        (text(&answer, "outcome"), text(&answer, "before")),
        ("introduced", &*first),
        "{answer}"
    );
    let second = text(&answer, "after").to_owned();
    assert_eq!(client.publish_and_wait("a", b"", false), NOBODY, "a shadow decides nothing");
    let status = status_with(&operator, |candidate| candidate["differences"].as_u64() >= Some(1));
    let candidate = &status["candidate"];
    assert_eq!((text(candidate, "version"), text(candidate, "mode")), (&*second, "shadow"));
    let difference = &candidate["latest_differences"][0];
    assert_eq!((text(difference, "client"), text(difference, "what")), ("device-7", "a"));
    assert!(text(difference, "candidate").starts_with("deny 0x87"), "{difference}");
    let said = operator.says(&["extension", "status"]);
    assert!(said.contains("device-7 authorize-publish a: runs: allow; tried: deny 0x87"), "{said}");

    let answer = operator.asks(&["extension", "promote", "policy"]);
    assert_eq!((text(&answer, "before"), text(&answer, "after")), (&*first, &*second));
    assert_eq!(client.publish_and_wait("a", b"", false), ReasonCode::NotAuthorized);
    assert!(operator.fails(&["extension", "promote", "policy"]).contains("no new version"));
    let same = operator.asks(&["extension", "reload", "policy", "--mode", "shadow"]);
    assert_eq!(same["outcome"], "unchanged", "what was promoted is what runs");

    // A share of the clients, all but one in a hundred; then it is given up.
    fs::write(site.path("policy.wasm"), policy("")).expect("the component is written");
    let words = ["extension", "reload", "policy", "--mode", "canary", "--share", "99"];
    assert_eq!(operator.asks(&words)["outcome"], "introduced");
    let verdicts: Vec<_> = (0..8)
        .map(|n| {
            let mut one = gateway.options(&format!("device-{n}")).plain_at(port).connect();
            one.publish_and_wait("x", b"", false)
        })
        .collect();
    assert!(verdicts.contains(&NOBODY), "{verdicts:?}");
    let mut client = gateway.options("device-7").plain_at(port).connect();
    operator.says(&["extension", "abandon", "policy"]);
    assert_eq!(client.publish_and_wait("x", b"", false), ReasonCode::NotAuthorized);

    // A trial that is given up can be tried again.
    assert_eq!(operator.asks(&["extension", "reload", "policy"])["outcome"], "introduced");
    assert_eq!(client.publish_and_wait("x", b"", false), NOBODY);
    operator.says(&["extension", "abandon", "policy"]);
    assert_eq!(client.publish_and_wait("x", b"", false), ReasonCode::NotAuthorized);
    assert_eq!(operator.asks(&["extension", "reload", "policy"])["outcome"], "introduced");

    fs::write(site.path("policy.wasm"), b"no component").expect("the component is written");
    let said = operator.fails(&["extension", "reload", "policy"]);
    assert!(said.contains("no WebAssembly"), "{said}");
    assert_eq!(client.publish_and_wait("x", b"", false), NOBODY, "it goes on as it is");
    gateway.assert_sound();
}

/// The status of `policy` as soon as what is tried of it `fits`.
fn status_with(operator: &Operator, fits: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = operator.asks(&["extension", "status", "policy"]);
        if fits(&status["candidate"]) {
            return status;
        }
        assert!(Instant::now() < until, "{status}");
    }
}

#[test]
fn rules_can_be_tried_before_they_count() {
    let site = Site::new();
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start(&site);
    let mut client = gateway.client("device");
    assert_eq!(client.publish_and_wait("demo/x", b"", false), NOBODY);
    site.rules("allow publish,subscribe user:demo demo/y\n");
    operator.says(&["extension", "reload", "acl", "--mode", "shadow"]);
    let mut newcomer = gateway.client("newcomer");
    assert_eq!(newcomer.publish_and_wait("demo/x", b"", false), NOBODY, "the old rules count");
    let until = Instant::now() + PATIENCE;
    let difference = loop {
        let status = operator.asks(&["extension", "status", "acl"]);
        let latest = status["candidate"]["latest_differences"].clone();
        if let Some(first) = latest.get(0) {
            break first.clone();
        }
        assert!(Instant::now() < until, "{status}");
    };
    assert_eq!(
        (text(&difference, "client"), text(&difference, "hook")),
        ("newcomer", "permissions")
    );
    operator.says(&["extension", "promote", "acl"]);
    let mut newcomer = gateway.client("newcomer");
    assert_eq!(newcomer.publish_and_wait("demo/x", b"", false), ReasonCode::NotAuthorized);
    assert_eq!(newcomer.publish_and_wait("demo/y", b"", false), NOBODY);
    assert!(gateway.reload().is_empty(), "what was promoted is what the file says");
    gateway.assert_sound();
}

#[test]
fn what_is_tried_beside_is_not_made_to_count_by_a_reload_of_the_rest() {
    let site = Site::new();
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start(&site);
    site.rules("allow publish,subscribe user:demo demo/y\n");
    operator.says(&["extension", "reload", "acl", "--mode", "shadow"]);
    let mark = gateway.log.mark();
    assert!(gateway.reload().is_empty());
    let said = gateway.log.wait(mark, PATIENCE, |event| {
        event["message"].as_str().is_some_and(|text| text.contains("tried beside it"))
    });
    assert!(said.is_some(), "{}", gateway.log.text());
    let mut newcomer = gateway.client("newcomer");
    assert_eq!(newcomer.publish_and_wait("demo/x", b"", false), NOBODY, "the old rules count");
    let status = operator.asks(&["extension", "status", "acl"]);
    assert_eq!(text(&status["candidate"], "mode"), "shadow", "and it is still tried");
    operator.says(&["extension", "abandon", "acl"]);
    gateway.reload();
    let mut newcomer = gateway.client("newcomer");
    assert_eq!(newcomer.publish_and_wait("demo/x", b"", false), ReasonCode::NotAuthorized);
    gateway.assert_sound();
}

#[test]
fn a_version_that_was_taken_back_is_tried_again_on_order_alone() {
    let (site, port) = asked_site();
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start_with(&site, 3);
    let mut client = gateway.options("device").plain_at(port).connect();
    fs::write(site.path("policy.wasm"), policy(TRAP)).expect("the component is written");
    let reload = || operator.asks(&["extension", "reload", "policy"])["outcome"].clone();
    for attempt in 1..=2 {
        assert_eq!(reload(), "introduced", "attempt {attempt}");
        for _ in 0..3 {
            assert_eq!(client.publish_and_wait("a", b"", false), NOBODY, "the other answers");
        }
        let counters = gateway.counters();
        assert_eq!(counters.of_extension("policy", "rolled_back"), attempt);
        gateway.reload();
        let status = operator.asks(&["extension", "status", "policy"]);
        assert_eq!(status["candidate"], Value::Null, "{status}");
    }
    gateway.assert_sound();
}

/// What could not start with the configuration does not get in by a reload either.
#[test]
fn an_interceptor_is_not_let_in_without_messages() {
    let (site, port) = asked_site();
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start_with(&site, 3);
    let nosy = guest_of("").with_publish_interceptor(&["#"], 0, "");
    fs::write(site.path("policy.wasm"), nosy.build()).expect("the component is written");
    let said = operator.fails(&["extension", "reload", "policy"]);
    assert!(said.contains("publish-interceptor") && said.contains("may see none"), "{said}");
    let said = operator.fails(&["extension", "reload", "policy", "--mode", "shadow"]);
    assert!(said.contains("may see none"), "{said}");
    let mut client = gateway.options("device").plain_at(port).connect();
    assert_eq!(client.publish_and_wait("a", b"", false), NOBODY);
    gateway.assert_sound();
}
