//! The decision log: every refusal with who decided and why, nothing secret, and never too large.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

#[path = "../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use guest::{ACCEPT, Fallback, Guest};
use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Gateway, Received, Site, free_port};
use serde_json::{Value, json};

/// Denies topics that begin with `x`, and for a minute those that begin with `y`.
const DENY: &str = "(if (i32.eq (i32.load8_u (local.get $topic)) (i32.const 120)) (then \
    (i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x87)))) \
    (if (i32.eq (i32.load8_u (local.get $topic)) (i32.const 121)) (then \
    (i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x97)) \
    (i32.store8 (i32.const 1044) (i32.const 1)) (i32.store (i32.const 1048) (i32.const 60000))))";

const NOBODY: ReasonCode = ReasonCode::NoMatchingSubscribers;

/// A site with a decision log and one more listener, whose extension is asked about publishes.
fn site(more: &str) -> (Site, u16) {
    let (site, port) = (Site::new(), free_port());
    let subscribe = guest::Rule { actions: 2, ..guest::allow("#") };
    let policy = Guest::authenticator(ACCEPT).granting(&[subscribe], Fallback::Ask);
    let component = policy.authorize_publish(DENY).build();
    fs::write(site.path("policy.wasm"), component).expect("the component is written");
    site.configure(&format!(
        "[listeners.asked]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"policy\"]\n\
         [extensions.policy]\ncomponent = \"policy.wasm\"\n\
         [decisions]\nfile = \"decisions.jsonl\"\n{more}"
    ));
    (site, port)
}

fn lines(site: &Site, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(site.path(name)).expect("there is a decision log");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn each_decision_is_there_with_who_made_it_and_why() {
    let (site, port) = site("allowed = true\n");
    site.rules("deny publish * demo/secret\nallow publish,subscribe user:demo demo/#\n");
    let gateway = Gateway::start_with(&site, 3);
    let mut client = gateway.client("ruled");
    assert_eq!(client.publish_and_wait("demo/fine", b"payload", false), NOBODY);
    assert_eq!(
        client.publish_and_wait("demo/secret", b"payload", false),
        ReasonCode::NotAuthorized
    );
    assert_eq!(client.subscribe("elsewhere/#", QoS::AtMostOnce), ReasonCode::NotAuthorized);
    let wrong =
        gateway.options("thief").user("demo", "guessed").try_connect().expect("a connection");
    assert!(
        matches!(wrong.1, Received::ConnAck(ReasonCode::BadUserNameOrPassword, _)),
        "{wrong:?}"
    );
    let mut asked = gateway.options("asked").plain_at(port).connect();
    assert_eq!(asked.publish_and_wait("a/1", b"payload", false), NOBODY);
    assert_eq!(asked.publish_and_wait("x/1", b"payload", false), ReasonCode::NotAuthorized);
    assert!(gateway.stop().0.success());

    let all = lines(&site, "decisions.jsonl");
    let text = fs::read_to_string(site.path("decisions.jsonl")).expect("it is there");
    for secret in [&*site.password, "guessed", "payload"] {
        assert!(!text.contains(secret), "{secret} is in it:\n{text}");
    }
    let find = |client: &str, action: &str, topic: Option<&str>| {
        let fits = |line: &&Value| {
            line["client"] == client && line["action"] == action && line["topic"].as_str() == topic
        };
        let found: Vec<&Value> = all.iter().filter(fits).collect();
        assert_eq!(found.len(), 1, "{client} {action} {topic:?}:\n{text}");
        found[0].clone()
    };
    let begins = |line: &Value, name: &str, with: &str| {
        assert!(line[name].as_str().is_some_and(|text| text.starts_with(with)), "{name}: {line}");
    };
    let connect = find("ruled", "connect", None);
    assert_eq!((&connect["outcome"], &connect["principal"]), (&json!("allowed"), &json!("demo")));
    assert_eq!((&connect["listener"], &connect["rules"]), (&json!("tls"), &json!(2)), "{connect}");
    begins(&connect, "version", "password@");
    begins(&connect, "permissions_by", "acl@");
    begins(&connect, "address", "127.0.0.1:");
    assert!(connect["took_us"].as_u64() > Some(0) && connect["time_ms"].is_u64(), "{connect}");
    let refused = find("thief", "connect", None);
    assert_eq!(
        (&refused["outcome"], &refused["code"]),
        (&json!("denied"), &json!(0x86)),
        "{refused}"
    );
    begins(&refused, "version", "password@");
    let ruled = find("ruled", "publish", Some("demo/secret"));
    assert_eq!(
        (&ruled["outcome"], &ruled["extension"]),
        (&json!("denied"), &json!("acl")),
        "{ruled}"
    );
    assert!(ruled["reason"].as_str().is_some_and(|why| why.contains("line 1: deny")), "{ruled}");
    assert_eq!(
        (&ruled["listener"], &ruled["principal"]),
        (&json!("tls"), &json!("demo")),
        "{ruled}"
    );
    begins(&ruled, "address", "127.0.0.1:");
    find("ruled", "subscribe", Some("elsewhere/#"));
    let denied = find("asked", "publish", Some("x/1"));
    assert_eq!((&denied["outcome"], &denied["extension"]), (&json!("denied"), &json!("policy")));
    let allowed = find("asked", "publish", Some("a/1"));
    assert_eq!((&allowed["outcome"], &allowed["extension"]), (&json!("allowed"), &json!("policy")));
    assert_eq!((&allowed["cached"], &allowed["listener"]), (&json!(false), &json!("asked")));
    assert!(!all.iter().any(|line| line["topic"] == "demo/fine"), "a set allowed it: {text}");
}

#[test]
fn what_is_denied_says_what_the_client_heard_and_how_that_was_known() {
    let (site, port) = site("");
    site.rules("allow publish,subscribe user:demo demo/#\n");
    let gateway = Gateway::start_with(&site, 3);
    let mut ruled = gateway.client("ruled");
    assert!(ruled.publish_and_wait("other", b"", false).is_error());
    assert!(ruled.subscribe("elsewhere/#", QoS::AtMostOnce).is_error());
    let mut asked = gateway.options("asked").plain_at(port).connect();
    assert_eq!(asked.publish_and_wait("x/1", b"", false), ReasonCode::NotAuthorized);
    for _ in 0..2 {
        assert_eq!(asked.publish_and_wait("y/1", b"", false), ReasonCode::QuotaExceeded);
    }
    assert!(gateway.stop().0.success());
    let all = lines(&site, "decisions.jsonl");
    let denied: Vec<_> = all.iter().filter(|line| line["topic"].is_string()).collect();
    let topics: Vec<_> = denied.iter().map(|line| line["topic"].as_str()).collect();
    let expected = ["other", "elsewhere/#", "x/1", "y/1", "y/1"];
    assert_eq!(topics, expected.map(Some));
    for (line, (code, asked, cached)) in denied.into_iter().zip([
        (0x87, false, false),
        (0x87, false, false),
        (0x87, true, false),
        (0x97, true, false),
        (0x97, true, true),
    ]) {
        let said = (&line["code"], &line["asked"], &line["cached"]);
        assert_eq!(said, (&json!(code), &json!(asked), &json!(cached)), "{line}");
        // Rules and what is remembered take no time of a guest.
        let takes_time = asked && !cached;
        assert_eq!(line["took_us"].as_u64() > Some(0), takes_time, "{line}");
        let by = if asked { "policy@" } else { "acl@" };
        assert!(line["version"].as_str().is_some_and(|name| name.starts_with(by)), "{line}");
    }
}

#[test]
fn it_is_put_aside_when_it_is_full_and_the_oldest_goes() {
    let (site, _) = site("max-size = \"64 KiB\"\nkept = 2\n");
    let gateway = Gateway::start_with(&site, 3);
    let mut client = gateway.client("busy");
    for number in 0..1500 {
        client.publish_and_wait(&format!("denied/{number:04}"), b"", false);
    }
    assert_eq!(gateway.counters().get("decisions_dropped"), 0);
    assert!(gateway.stop().0.success());
    let names = ["decisions.jsonl.2", "decisions.jsonl.1", "decisions.jsonl"];
    let mut topics = Vec::new();
    for name in names {
        let found = fs::metadata(site.path(name)).expect("it is there");
        assert!(found.len() <= 64 << 10, "{name} has {} bytes", found.len());
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
        let denied = lines(&site, name)
            .into_iter()
            .filter_map(|line| line["topic"].as_str().map(str::to_owned));
        topics.extend(denied);
    }
    assert!(!site.path("decisions.jsonl.3").exists());
    let first = 1500 - topics.len();
    assert!(first > 0, "the oldest have gone");
    let expected: Vec<String> = (first..1500).map(|number| format!("denied/{number:04}")).collect();
    assert_eq!(topics, expected, "the latest, in their order");
}

#[test]
fn without_a_file_there_is_none_and_a_bad_one_is_said_so() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    gateway.client("c").leave();
    gateway.assert_sound();
    assert!(!site.path("decisions.jsonl").exists());
    drop(gateway);
    site.configure("[decisions]\nfile = \"missing/decisions.jsonl\"\n");
    let mut gateway = Gateway::launch(&site);
    assert_eq!(gateway.ended().code(), Some(1));
    let words = "missing/decisions.jsonl";
    assert!(
        gateway.log.wait_for_words(words, portcullis_tests::PATIENCE),
        "{}",
        gateway.log.text()
    );
}
