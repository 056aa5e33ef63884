//! The socket: whose it is, and what it refuses.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use portcullis_tests::{Gateway, Operator, PATIENCE, Site};
use serde_json::json;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).expect("the socket is there").permissions().mode() & 0o777
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
