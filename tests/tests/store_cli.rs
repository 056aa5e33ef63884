//! `portcullis store`, as an operator meets it: beside a gateway that runs, and without one.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Gateway, Publisher, Site, program};
use serde_json::Value;

/// Runs `portcullis store` on the store of a site.
fn store(site: &Site, arguments: &[&str]) -> Output {
    on(arguments, "--config", &site.config())
}

fn on(arguments: &[&str], option: &str, path: &Path) -> Output {
    let mut command = Command::new(&program().portcullis);
    command.arg("store").args(arguments).arg(option).arg(path);
    command.output().expect("the gateway's program starts")
}

fn text(out: &Output, code: i32) -> String {
    let said = String::from_utf8(out.stdout.clone()).expect("text");
    let complained = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{said}\n{complained}");
    said
}

fn lines(out: &Output) -> Vec<Value> {
    text(out, 0).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Subscribes and goes away.
fn subscribe(gateway: &Gateway<'_>, client_id: &str, filter: &str) {
    let mut client = gateway.options(client_id).plain().persistent().connect();
    assert_eq!(client.subscribe(filter, QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    client.leave();
}

#[test]
fn a_store_is_looked_into_while_its_gateway_is_under_load() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    subscribe(&gateway, "absent", "demo/kept");
    let mut publisher = Publisher::new("demo/kept", QoS::AtLeastOnce, 64);
    let mut client = gateway.options("publisher").plain().connect();
    let copies = thread::scope(|scope| {
        let stream = scope.spawn(|| publisher.publish(&mut client, u64::MAX));
        thread::sleep(Duration::from_millis(500));
        let mut queued = 0;
        let mut copies = Vec::new();
        for copy in 0..3 {
            text(&store(&site, &["verify"]), 0);
            let out = store(&site, &["inspect", "--json"]);
            let seen: Value = serde_json::from_str(&text(&out, 0)).expect("JSON");
            let now = seen["queued"].as_u64().expect("a number");
            assert!(now >= queued && now > 0, "{queued} then {now}");
            queued = now;
            let sequences: Vec<u64> = lines(&store(&site, &["export", "--only", "queued"]))
                .iter()
                .map(|line| line["sequence"].as_u64().expect("a number"))
                .collect();
            assert!(sequences.len() as u64 >= now, "later, and nobody takes any");
            assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "in order");

            let to = site.path(format!("copy-{copy}"));
            let mut cp = Command::new("cp");
            assert!(
                cp.arg("-a").arg(site.path("data/store")).arg(&to).status().expect("cp").success()
            );
            copies.push(to);
        }
        drop(gateway);
        assert!(stream.join().expect("the publisher does not fail").is_err(), "it is cut off");
        copies
    });
    // A copy of several moments may lack something, and is told of it; it can be used all the same.
    for copy in copies {
        let verified = on(&["verify"], "--dir", &copy);
        assert!(matches!(verified.status.code(), Some(0 | 1)), "{verified:?}");
        let seen = text(&on(&["inspect"], "--dir", &copy), 0);
        assert!(seen.contains("absent"), "{seen}");
        text(&on(&["compact"], "--dir", &copy), 0);
        text(&on(&["verify"], "--dir", &copy), 0);
    }
}

#[test]
fn compacting_is_refused_while_the_gateway_runs() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    subscribe(&gateway, "absent", "demo/#");
    let mut client = gateway.options("publisher").plain().connect();
    let mut publisher = Publisher::new("demo/a", QoS::AtLeastOnce, 64);
    publisher.publish(&mut client, 2_000).expect("nobody stops it");
    assert_eq!(client.publish_and_wait("demo/a", b"last", false), ReasonCode::Success);
    let refused = store(&site, &["compact"]);
    text(&refused, 1);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("in use by a gateway that runs") && why.lines().count() == 1, "{why}");
    drop(client);
    assert!(gateway.stop().0.success());

    let said = text(&store(&site, &["compact"]), 0);
    assert!(said.contains("before") && said.contains("after"), "{said}");
    text(&store(&site, &["verify"]), 0);
    let queued = lines(&store(&site, &["export", "--only", "queued"]));
    assert_eq!(queued.len(), 2_001);
    assert_eq!(queued[2_000]["payload"], "last");
    let gateway = Gateway::start(&site);
    assert!(gateway.events(0, "store was repaired").is_empty(), "{}", gateway.log.text());
}

#[test]
fn everything_that_is_stored_is_exported_and_payloads_are_not_shown_elsewhere() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    subscribe(&gateway, "one", "demo/#");
    subscribe(&gateway, "two", "demo/b");
    let mut client = gateway.options("publisher").plain().connect();
    for (topic, payload, retain) in
        [("demo/a", &b"topsecret \"text\""[..], false), ("demo/b", &[0xFF, 0x00, 0xFE][..], true)]
    {
        assert_eq!(client.publish_and_wait(topic, payload, retain), ReasonCode::Success);
    }
    client.leave();
    assert!(gateway.stop().0.success());

    let all = lines(&store(&site, &["export"]));
    let of = |kind: &str| -> Vec<&Value> { all.iter().filter(|it| it["kind"] == kind).collect() };
    let counts = ["session", "subscription", "retained", "queued"].map(|kind| of(kind).len());
    assert_eq!(counts, [2, 2, 1, 3]);
    assert_eq!(of("session")[0]["principal"], "demo");
    assert_eq!(of("session")[0]["expiry_seconds"], 3_600);
    assert_eq!(of("retained")[0]["payload_base64"], "/wD+");
    let one = lines(&store(&site, &["export", "--client-id", "one", "--only", "queued"]));
    assert_eq!(one.len(), 2);
    assert_eq!(one[0]["payload"], "topsecret \"text\"");
    assert_eq!((&one[1]["topic"], &one[1]["payload_base64"]), (&"demo/b".into(), &"/wD+".into()));

    let file = site.path("out.jsonl");
    let path = file.to_str().expect("text");
    text(&store(&site, &["export", "--output", path]), 0);
    let written = fs::read_to_string(&file).expect("it is written");
    assert_eq!(written.lines().count(), all.len());
    text(&store(&site, &["export", "--output", path]), 1);

    for arguments in [&["inspect"][..], &["inspect", "--json"], &["verify"], &["verify", "--json"]]
    {
        let said = text(&store(&site, arguments), 0);
        assert!(!said.contains("topsecret") && !said.contains("/wD+"), "{said}");
    }
    let table = text(&store(&site, &["inspect", "--limit", "1"]), 0);
    assert!(table.contains("one ") && table.contains("and 1 more"), "{table}");
}

#[test]
fn verify_tells_damage_from_what_cannot_be_read() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    subscribe(&gateway, "absent", "demo/#");
    let mut client = gateway.options("publisher").plain().connect();
    assert_eq!(client.publish_and_wait("demo/a", b"a needle", false), ReasonCode::Success);
    client.leave();
    assert!(gateway.stop().0.success());
    text(&store(&site, &["verify"]), 0);

    let log = fs::read_dir(site.path("data/store/log")).expect("there is a log");
    for entry in log {
        let path = entry.expect("a file").path();
        let mut bytes = fs::read(&path).expect("it can be read");
        if let Some(at) = bytes.windows(8).position(|window| window == b"a needle") {
            bytes[at] ^= 1;
            fs::write(&path, &bytes).expect("it can be written");
        }
    }
    let said = text(&store(&site, &["verify"]), 1);
    assert!(said.contains("client \"absent\"") && said.contains("log file 0000"), "{said}");
    let said = text(&store(&site, &["verify", "--json"]), 1);
    assert!(said.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{said}");

    let absent = on(&["verify"], "--dir", Path::new("/absent"));
    text(&absent, 2);
    assert!(String::from_utf8_lossy(&absent.stderr).contains("there is no store in /absent"));
    text(&on(&["inspect"], "--dir", Path::new("/absent")), 1);
}
