//! The operator asks and orders a gateway that runs, through its admin socket and by its command line.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

#[path = "../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use guest::{ACCEPT, Fallback, Guest};
use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Client, Gateway, Operator, PATIENCE, Received, Site, free_port};
use serde_json::{Value, json};

/// Denies topics that begin with `x`, with 0x97, and those that begin with `y` for a minute.
const DENY_X: &str = "(if (i32.eq (i32.load8_u (local.get $topic)) (i32.const 120)) (then \
    (i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x97)))) \
    (if (i32.eq (i32.load8_u (local.get $topic)) (i32.const 121)) (then \
    (i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x97)) \
    (i32.store8 (i32.const 1044) (i32.const 1)) (i32.store (i32.const 1048) (i32.const 60000))))";

/// Denies everything.
const DENY: &str =
    "(i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x87))";

const NOBODY: ReasonCode = ReasonCode::NoMatchingSubscribers;

/// Lets everybody in, leaves subscriptions to rules, and publishes to `body`.
fn policy(body: &str) -> Vec<u8> {
    let subscribe = guest::Rule { actions: 2, ..guest::allow("#") };
    let guest = Guest::authenticator(ACCEPT).granting(&[subscribe], Fallback::Ask);
    guest.authorize_publish(body).build()
}

/// A site with one more listener, whose chain is the extension `policy`.
fn asked_site() -> (Site, u16) {
    let (site, port) = (Site::new(), free_port());
    fs::write(site.path("policy.wasm"), policy(DENY_X)).expect("the component is written");
    site.configure(&format!(
        "[listeners.asked]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"policy\"]\n\
         [extensions.policy]\ncomponent = \"policy.wasm\"\n"
    ));
    (site, port)
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).expect("the socket is there").permissions().mode() & 0o777
}

/// The text of a value.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {value}"))
}

#[test]
fn the_socket_has_its_mode_and_goes_with_the_gateway() {
    let site = Site::new();
    let operator = Operator::of(&site);
    let gateway = Gateway::start(&site);
    assert_eq!(mode(&operator.socket), 0o600);
    assert_eq!(operator.request("GET", "/v1", "").0, 200);
    // What a gateway leaves behind that was killed is in nobody's way.
    gateway.kill();
    assert!(operator.socket.exists());
    assert!(operator.fails(&["clients"]).contains("nobody listens"));
    site.configure("[admin]\nmode = \"0660\"\n");
    let gateway = Gateway::start(&site);
    assert_eq!(mode(&operator.socket), 0o660);
    assert_eq!(operator.asks(&["clients"])["clients"], json!([]));
    assert!(gateway.stop().0.success());
    assert!(!operator.socket.exists());
    assert!(operator.fails(&["clients"]).contains("there is no admin socket"));
    site.configure("[admin]\nenabled = false\n");
    let _gateway = Gateway::start(&site);
    assert!(!operator.socket.exists());
    assert!(operator.fails(&["clients"]).contains("set enabled = true"));
}

#[test]
fn the_socket_of_a_gateway_that_runs_is_not_stolen() {
    let (site, other) = (Site::new(), Site::new());
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start(&site);
    other.configure(&format!("[admin]\nsocket = {:?}\n", operator.socket.to_string_lossy()));
    let mut thief = Gateway::launch(&other);
    assert_eq!(thief.ended().code(), Some(1));
    let said = thief.log.wait_for_words("belongs to a program that runs", PATIENCE);
    assert!(said, "{}", thief.log.text());
    assert_eq!(operator.asks(&["clients"])["clients"], json!([]), "the first still has it");

    // Nor is a file taken for a stale socket.
    fs::write(other.path("notes"), "mine").expect("a file is written");
    other.configure("[admin]\nsocket = \"notes\"\n");
    let mut clumsy = Gateway::launch(&other);
    assert_eq!(clumsy.ended().code(), Some(1));
    assert!(clumsy.log.wait_for_words("is no socket", PATIENCE), "{}", clumsy.log.text());
    assert_eq!(fs::read_to_string(other.path("notes")).expect("it is there"), "mine");
    gateway.assert_sound();
}

#[test]
fn what_makes_no_sense_is_refused_and_nobody_waits_for_it() {
    let site = Site::new();
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start(&site);
    let explain = |body: &str| operator.request("POST", "/v1/explain", body);
    for (status, named, (got, said)) in [
        (404, "there is nothing at /v1/nonsense", operator.request("GET", "/v1/nonsense", "")),
        (404, "there is nothing", operator.request("GET", "/", "")),
        (405, "asked for with POST", operator.request("GET", "/v1/explain", "")),
        (405, "asked for with GET", operator.request("POST", "/v1/clients", "")),
        (405, "there are GET and POST", operator.request("DELETE", "/v1/clients/a", "")),
        (400, "is not JSON", explain("{")),
        (400, "the body is a list", explain("[]")),
        (400, "clinet has no meaning", explain(r#"{"clinet": "a"}"#)),
        (400, "either client names", explain("{}")),
        (
            400,
            "acts[0].topic is missing",
            explain(r#"{"client": "a", "acts": [{"action": "publish"}]}"#),
        ),
        (
            400,
            "topic",
            explain(r#"{"client": "a", "acts": [{"action": "publish", "topic": "a/#"}]}"#),
        ),
        (
            400,
            "qos is not",
            explain(r#"{"client": "a", "acts": [{"action": "publish", "topic": "a", "qos": 3}]}"#),
        ),
        (404, "no session of a client", explain(r#"{"client": "a"}"#)),
        (404, "no listener", explain(r#"{"connect": {"listener": "no", "client_id": "a"}}"#)),
        (404, "no extension", operator.request("POST", "/v1/extensions/no/reload", "")),
        (409, "no new version", operator.request("POST", "/v1/extensions/acl/promote", "")),
        (404, "not connected", operator.request("POST", "/v1/clients/a/disconnect", "")),
        (400, "code 0", operator.request("POST", "/v1/clients/a/disconnect", r#"{"code": 0}"#)),
        (400, "limit 0", operator.request("GET", "/v1/clients?limit=0", "")),
        (400, "no meaning", operator.request("GET", "/v1/clients?limt=1", "")),
        (400, "json or prometheus", operator.request("GET", "/v1/metrics?format=xml", "")),
    ] {
        assert_eq!(got, status, "{named}: {said}");
        assert!(said.contains(named), "{named}: {said}");
    }
    let acts = vec![json!({"action": "publish", "topic": "a"}); 101];
    let (status, said) = explain(&json!({ "client": "a", "acts": acts }).to_string());
    assert_eq!((status, said.contains("the most is 100")), (400, true), "{said}");
    let (status, _) = explain(&" ".repeat(64 * 1024 + 1));
    assert_eq!(status, 413);
    assert_eq!(operator.raw(b"\x10\x10\0\x04MQTT\x05\x02\0\x3c\0\0\x01c\r\n\r\n").0, 400);

    // Those who say nothing, or half, are cut off, and others are served meanwhile.
    let begun = Instant::now();
    let mut slow: Vec<_> = (0..8).map(|_| operator.connect()).collect();
    for half in slow.iter_mut().take(4) {
        half.write_all(b"POST /v1/explain HTTP/1.1\r\nHo").expect("it is open");
    }
    assert_eq!(operator.request("GET", "/v1", "").0, 200);
    assert!(begun.elapsed() < Duration::from_secs(4), "the others were not waited for");
    for stream in &mut slow {
        let mut rest = Vec::new();
        assert!(stream.read_to_end(&mut rest).is_ok(), "it is closed in order");
    }
    assert!(begun.elapsed() < PATIENCE);
    gateway.assert_sound();
}

#[test]
fn clients_are_shown_page_by_page_and_sent_away() {
    let site = Site::new();
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start(&site);
    let ids = ["device/1", "device 2", "dévice-3"];
    let mut clients: Vec<_> = ids.iter().map(|id| gateway.client(id)).collect();
    for filter in ["demo/a", "demo/#"] {
        assert_eq!(clients[0].subscribe(filter, QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    }
    let mut away = gateway.options("away").persistent().connect();
    away.subscribe("demo/queue", QoS::AtLeastOnce);
    away.leave();
    clients[1].publish_and_wait("demo/queue", b"for later", false);
    assert_eq!(clients[0].message().payload, b"for later");

    let mut seen = Vec::new();
    let mut from = Some(0);
    while let Some(place) = from {
        let page = operator.asks(&["clients", "--limit", "3", "--from", &place.to_string()]);
        let shown = page["clients"].as_array().expect("a list");
        assert!(shown.len() <= 3, "{page}");
        seen.extend(shown.iter().map(|client| text(client, "client").to_owned()));
        from = page["next"].as_u64();
    }
    seen.sort();
    assert_eq!(seen, ["away", "device 2", "device/1", "dévice-3"]);

    let one = operator.asks(&["clients", "device/1"]);
    assert_eq!((text(&one, "principal"), text(&one, "listener")), ("demo", "tls"), "{one}");
    assert_eq!((&one["connected"], &one["subscriptions"]), (&json!(true), &json!(2)), "{one}");
    assert!(text(&one, "authenticated_by").starts_with("password@"), "{one}");
    assert!(text(&one, "permissions_by").starts_with("acl@"), "{one}");
    assert!(text(&one, "address").starts_with("127.0.0.1:"), "{one}");
    assert_eq!(
        one["subscription_list"],
        json!([{"filter": "demo/#", "qos": 1}, {"filter": "demo/a", "qos": 1}])
    );
    let absent = operator.asks(&["clients", "away"]);
    assert_eq!((&absent["connected"], &absent["queued"]), (&json!(false), &json!(1)), "{absent}");
    assert!(absent["offline_since_ms"].is_u64() && absent["address"].is_null(), "{absent}");
    let table = operator.says(&["clients"]);
    assert!(table.contains("PRINCIPAL") && table.contains("device/1"), "{table}");

    let mark = gateway.log.mark();
    let said = operator.says(&["disconnect", "device/1", "--code", "0x97", "--reason", "too loud"]);
    assert!(said.contains("0x97 (Quota exceeded)"), "{said}");
    assert_eq!(clients[0].receive(), Received::Disconnect(ReasonCode::QuotaExceeded));
    assert_eq!(clients[0].receive(), Received::Closed);
    let gone = gateway.log.wait(mark, PATIENCE, |event| event["message"] == "client disconnected");
    assert_eq!(gone.expect("it is logged")["why"], "too loud");
    let order = gateway.log.events(mark, "order of the operator");
    assert_eq!(order[0]["path"], "v1/clients/device/1/disconnect");
    assert!(operator.fails(&["disconnect", "device/1"]).contains("is not connected"));
    operator.says(&["disconnect", "device 2"]);
    assert_eq!(clients[1].receive(), Received::Disconnect(ReasonCode::AdministrativeAction));
    assert!(clients[2].pings(), "the others stay");
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
fn counters_are_the_same_in_every_form() {
    let site = Site::new();
    let operator = Operator::of(&site);
    let mut gateway = Gateway::start(&site);
    let mut client = gateway.client("counted");
    client.subscribe("demo/#", QoS::AtMostOnce);
    client.publish("demo/x", b"12345", QoS::AtMostOnce, false);
    client.message();
    let counters = gateway.counters();
    let document = operator.asks(&["metrics"]);
    let prometheus = operator.says(&["metrics", "--prometheus"]);
    let sample = |name: &str| {
        let line = prometheus.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<u64>().ok())
    };
    for name in [
        "publishes_received",
        "publish_bytes_sent",
        "subscriptions",
        "limit_packet_size",
        "clients_connected",
    ] {
        let expected = Some(counters.get(name));
        assert_eq!(document["gateway"][name].as_u64(), expected, "{name}");
        assert_eq!(sample(&format!("portcullis_{name}")), expected, "{name}");
    }
    let calls = counters.of_extension("password", "calls");
    let series = "portcullis_extension_calls{extension=\"password\"}";
    assert_eq!(sample(series), Some(calls), "{prometheus}");
    // Every series belongs to a family that was named before, once.
    let mut families = Vec::new();
    for line in prometheus.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            assert!(!families.contains(&name) && ["counter", "gauge"].contains(&kind), "{line}");
            families.push(name);
        } else {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            assert_eq!(families.last(), Some(&name), "{line}");
        }
    }
    assert!(families.len() > 60, "{} families", families.len());
    let said = operator.says(&["metrics"]);
    assert!(said.contains("publish_bytes_received 5\n"), "{said}");
    gateway.assert_sound();
}
