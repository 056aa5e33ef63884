//! What would become of an act, and why.

use std::fs;

use mqtt::ReasonCode;
use portcullis_tests::{Client, Gateway, Operator, Site, free_port};
use serde_json::{Value, json};

use crate::guest::{Guest, TRAP};
use crate::{NOBODY, asked_site, policy, text};

#[test]
fn an_explanation_says_what_would_happen_and_why() {
    let (site, port) = asked_site();
    site.rules("deny publish * demo/secret\nallow publish,subscribe user:demo demo/# qos<=1\n");
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start_with(&site, 3);
    let mut ruled = gateway.client("ruled");
    let mut asked = gateway.options("asked").plain_at(port).connect();

    let words = [
        "explain",
        "--client",
        "ruled",
        "--qos",
        "1",
        "--publish",
        "demo/x",
        "--publish",
        "demo/secret",
        "--publish",
        "other",
        "--publish",
        "$SYS/x",
        "--subscribe",
        "demo/+",
    ];
    let answer = operator.asks(&words);
    let decisions = answer["decisions"].as_array().expect("a list");
    let outcomes: Vec<_> = decisions.iter().map(|one| text(one, "outcome")).collect();
    assert_eq!(outcomes, ["allowed", "denied", "denied", "denied", "allowed"], "{answer}");
    // The same as what becomes of a real publish.
    for (topic, code) in [
        ("demo/x", NOBODY),
        ("demo/secret", ReasonCode::NotAuthorized),
        ("other", ReasonCode::NotAuthorized),
    ] {
        assert_eq!(ruled.publish_and_wait(topic, b"", false), code, "{topic}");
    }
    let by_rule = &decisions[1];
    assert_eq!(by_rule["rule"], json!({"number": 1, "name": "line 1: deny publish * demo/secret"}));
    let version = text(by_rule, "version");
    assert!(
        version.starts_with("acl@") && text(by_rule, "reason").starts_with(version),
        "{by_rule}"
    );
    assert!(version.ends_with(&text(by_rule, "sha256")[..8]), "{by_rule}");
    assert_eq!((&by_rule["code"], &by_rule["asked"]), (&json!(0x87), &json!(false)), "{by_rule}");
    assert!(by_rule["took_us"].is_u64(), "{by_rule}");
    assert_eq!(decisions[0]["rule"]["number"], 2);
    assert_eq!((&decisions[2]["rule"], decisions[2]["code"].as_u64()), (&Value::Null, Some(0x87)));
    assert_eq!(
        (text(&decisions[3], "extension"), &decisions[3]["version"]),
        ("gateway", &Value::Null)
    );
    assert_eq!(decisions[4]["granted_qos"], 1);
    let said = operator.says(&words);
    assert!(said.contains("rule 1 of acl@") && said.contains("denied with 0x87"), "{said}");

    let words = ["explain", "--client", "asked", "--publish", "a", "--publish", "x/1"];
    let answer = operator.asks(&words);
    let (yes, no) = (&answer["decisions"][0], &answer["decisions"][1]);
    assert_eq!((text(yes, "outcome"), &yes["asked"]), ("allowed", &json!(true)), "{answer}");
    assert_eq!((text(no, "outcome"), &no["code"]), ("denied", &json!(0x97)), "{answer}");
    assert!(text(no, "version").starts_with("policy@"), "{answer}");
    assert_eq!(asked.publish_and_wait("a", b"", false), NOBODY);
    assert!(asked.publish_and_wait("x/1", b"", false).is_error());
    what_is_remembered_is_explained_so(&operator, &mut asked);
    assert!(
        operator.fails(&["explain", "--client", "nobody", "--publish", "a"]).contains("nobody")
    );
    gateway.assert_sound();
}

/// A verdict that holds for a while is what the gateway acts on, and not what the extension would say now.
fn what_is_remembered_is_explained_so(operator: &Operator, asked: &mut Client) {
    let words = ["explain", "--client", "asked", "--publish", "y/1", "--publish", "y/2"];
    let explained = || operator.asks(&words)["decisions"].clone();
    let before = explained();
    assert_eq!((&before[0]["asked"], &before[0]["cached"]), (&json!(true), &json!(false)));
    assert!(asked.publish_and_wait("y/1", b"", false).is_error());
    let after = explained();
    assert_eq!((&after[0]["asked"], &after[0]["cached"]), (&json!(false), &json!(true)), "{after}");
    let left = after[0]["cached_for_ms"].as_u64();
    assert!(left > Some(0) && left <= Some(60_000), "{after}");
    assert_eq!(
        (text(&after[0], "outcome"), &after[0]["code"]),
        ("denied", &json!(0x97)),
        "{after}"
    );
    assert!(text(&after[0], "version").starts_with("policy@"), "{after}");
    assert_eq!(after[0]["reason"], before[0]["reason"], "the same words");
    assert_eq!((&after[1]["asked"], &after[1]["cached"]), (&json!(true), &json!(false)), "{after}");
    let said = operator.says(&words);
    assert!(
        said.contains("remembered answer of policy@") && said.contains("asked policy@"),
        "{said}"
    );
}

#[test]
fn a_client_that_does_not_exist_can_be_tried_out() {
    let (site, _) = asked_site();
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start_with(&site, 3);
    let file = site.path("connect.json");
    let name = file.to_string_lossy().into_owned();
    let describe = |listener: &str, password: &str| {
        let connect = json!({"listener": listener, "client_id": "not-yet", "username": "demo",
            "password": password, "address": "192.0.2.7", "user_properties": [["a", "b"]]});
        fs::write(&file, connect.to_string()).expect("a file is written");
    };
    describe("tls", &site.password);
    let words = ["explain", "--connect", &name, "--publish", "demo/x", "--publish", "elsewhere"];
    let answer = operator.asks(&words);
    let connect = &answer["connect"];
    assert_eq!(
        (text(connect, "outcome"), text(connect, "principal")),
        ("accepted", "demo"),
        "{answer}"
    );
    assert!(text(connect, "version").starts_with("password@"), "{answer}");
    assert!(text(connect, "permissions_by").starts_with("acl@"), "{answer}");
    assert_eq!(text(&answer["decisions"][0], "outcome"), "allowed");
    assert_eq!(text(&answer["decisions"][1], "outcome"), "denied");
    println!("{}", operator.says(&words));

    describe("tls", "hunter-2-hunter");
    let answer = operator.asks(&["explain", "--connect", &name]);
    assert_eq!(
        (text(&answer["connect"], "outcome"), &answer["decisions"]),
        ("refused", &json!([]))
    );
    assert_eq!(answer["connect"]["code"], 0x86, "{answer}");
    assert!(!answer.to_string().contains("hunter"), "the password is not repeated: {answer}");

    describe("asked", "");
    let answer = operator.asks(&["explain", "--connect", &name, "--publish", "x"]);
    assert_eq!(text(&answer["decisions"][0], "outcome"), "denied", "{answer}");
    assert_eq!(answer["decisions"][0]["asked"], true);
    assert_eq!(operator.asks(&["clients"])["clients"], json!([]), "nobody came");
    gateway.assert_sound();
}

/// A guest that fails gives no verdict: the client hears something else than of one that says no.
#[test]
fn of_a_guest_that_fails_the_code_is_the_one_that_the_client_hears() {
    let (site, port) = asked_site();
    let failing =
        format!("(if (i32.eq (i32.load8_u (local.get $topic)) (i32.const 122)) (then {TRAP}))");
    fs::write(site.path("policy.wasm"), policy(&failing)).expect("the component is written");
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start_with(&site, 3);
    let mut asked = gateway.options("asked").plain_at(port).connect();
    let answer =
        operator.asks(&["explain", "--client", "asked", "--publish", "a", "--publish", "z"]);
    let (fine, failed) = (&answer["decisions"][0], &answer["decisions"][1]);
    assert_eq!((text(fine, "outcome"), text(failed, "outcome")), ("allowed", "denied"), "{answer}");
    assert_eq!((&failed["code"], &failed["asked"]), (&json!(0x83), &json!(true)), "{failed}");
    assert!(text(failed, "version").starts_with("policy@"), "{failed}");
    assert!(text(failed, "reason").contains("unreachable"), "{failed}");
    let heard = asked.publish_and_wait("z", b"", false);
    assert_eq!(heard, ReasonCode::ImplementationSpecificError, "as explained");
    gateway.assert_sound();
}

/// What is allowed is not yet what becomes of a message: those who look at it next are named.
#[test]
fn interceptors_that_a_message_is_shown_to_are_named() {
    let (site, port) = (Site::new(), free_port());
    site.rules("allow publish,subscribe * plant/#\n");
    // Refuses what it sees, with 0x87.
    let refusing = "(i32.store8 (i32.const 1028) (i32.const 2)) (i32.store8 (i32.const 1032) (i32.const 0x87))";
    let guest = Guest::publish_interceptor(&["plant/set/#"], 0, refusing);
    let guest = guest.with_delivery_interceptor(&["plant/#"], 0, "");
    fs::write(site.path("censor.wasm"), guest.build()).expect("the component is written");
    site.configure(&format!(
        "[listeners.seen]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"password\", \"acl\", \"censor\"]\n\
         [extensions.censor]\ncomponent = \"censor.wasm\"\nmessages = {{ publish = [\"plant/#\"], deliver = [\"plant/a\"] }}\n"
    ));
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start_with(&site, 3);
    let mut seen = gateway.options("seen").plain_at(port).connect();
    let words = [
        "explain",
        "--client",
        "seen",
        "--publish",
        "plant/set/1",
        "--publish",
        "plant/a",
        "--publish",
        "elsewhere",
        "--subscribe",
        "plant/+",
        "--receive",
        "plant/a",
        "--receive",
        "plant/b",
    ];
    let answer = operator.asks(&words);
    let named = |decision: &Value| {
        let named = decision["interceptors"].as_array()?.iter();
        Some(named.map(|one| one.as_str().is_some_and(|v| v.starts_with("censor@"))).collect())
    };
    let decisions = answer["decisions"].as_array().expect("a list");
    let named: Vec<Option<Vec<bool>>> = decisions.iter().map(named).collect();
    let (one, nobody) = (|| Some(vec![true]), || Some(Vec::new()));
    assert_eq!(named, [one(), nobody(), None, None, one(), nobody()], "{answer}");
    assert_eq!(text(&decisions[0], "outcome"), "allowed", "by its permissions: {answer}");
    assert!(operator.says(&words).contains("then shown to censor@"));
    let heard = seen.publish_and_wait("plant/set/1", b"", false);
    assert_eq!(heard, ReasonCode::NotAuthorized, "and there it ends");

    let file = site.path("connect.json");
    let connect = json!({"listener": "seen", "client_id": "not-yet", "username": "demo",
        "password": site.password, "address": "192.0.2.7"});
    fs::write(&file, connect.to_string()).expect("a file is written");
    let name = file.to_string_lossy().into_owned();
    let answer = operator.asks(&["explain", "--connect", &name, "--publish", "plant/set/1"]);
    let named = &answer["decisions"][0]["interceptors"];
    assert!(named[0].as_str().is_some_and(|one| one.starts_with("censor@")), "{answer}");
    gateway.assert_sound();
}
