//! What the gateway says of itself below `$SYS`, and who may read it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::tools::mosquitto_sub;
use portcullis_tests::{Gateway, Received, Site};

/// A site whose gateway tells its values each second, and whose user `demo` may read them.
fn site() -> Site {
    let site = Site::new();
    site.configure("[broker]\nsys-interval = \"1s\"\n");
    site.rules(
        "allow subscribe user:demo $SYS/#\n\
         allow publish,subscribe user:demo demo/#\n\
         allow subscribe user:curious #\n",
    );
    site.user("curious", "what is it");
    site
}

#[test]
fn mosquitto_reads_what_mosquitto_would_say() {
    let site = site();
    let mut gateway = Gateway::start(&site);
    let mut busy = gateway.client("busy");
    busy.subscribe("demo/x", QoS::AtMostOnce);
    busy.publish_and_wait("demo/y", b"0123456789", true);
    // Two rounds of values: one from the start, and what has changed since.
    let sub = ["-t", "$SYS/#", "-W", "4", "-F", "%r %t %p"];
    let out = mosquitto_sub(&site, &sub).finish();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let (mut retained, mut told) = (BTreeMap::new(), BTreeMap::new());
    for line in said.lines() {
        let (flag, rest) = line.split_once(' ').expect("a line as asked for");
        // The one topic with a blank in it is Mosquitto's own.
        let rest = rest.replacen("retained messages", "retained-messages", 1);
        let (topic, value) = rest.split_once(' ').expect("a topic and a value");
        let name = topic.strip_prefix("$SYS/broker/").expect("below $SYS").to_owned();
        let values = if flag == "1" { &mut retained } else { &mut told };
        values.insert(name, value.to_owned());
    }
    println!("system: {} values retained, {} told again", retained.len(), told.len());
    let newest = |name: &str| told.get(name).or(retained.get(name)).map(String::as_str);
    assert_eq!(newest("clients/connected"), Some("2"), "{said}");
    assert_eq!(newest("clients/maximum"), Some("2"), "{said}");
    assert_eq!(newest("subscriptions/count"), Some("2"), "{said}");
    assert_eq!(newest("retained-messages/count"), Some("1"), "{said}");
    assert_eq!(newest("publish/bytes/received"), Some("10"), "{said}");
    assert!(newest("version").is_some_and(|it| it.starts_with("portcullis version ")), "{said}");
    let number = |name: &str| newest(name).and_then(|it| it.parse::<f64>().ok()).unwrap_or(-1.0);
    for name in [
        "bytes/received",
        "bytes/sent",
        "messages/received",
        "messages/sent",
        "load/messages/received/1min",
        "load/sockets/15min",
        "load/connections/5min",
        "store/files/bytes",
        "store/log/bytes/written",
        "store/device/bytes/written",
        "store/device/bytes/per-message",
    ] {
        assert!(number(name) > 0.0, "{name}:\n{said}");
    }
    assert!(told.get("uptime").is_some_and(|it| it.ends_with(" seconds")), "{said}");
    assert!(!told.contains_key("version"), "what does not change is not told again:\n{said}");
    let counted = gateway.counters();
    assert!(counted.get("bytes_received") > 10 && counted.get("packets_sent") > 4);
    assert_eq!(counted.get("retained"), 1, "what the gateway says takes nobody's place");
    gateway.assert_sound();
}

#[test]
fn whoever_has_no_rule_for_it_reads_nothing() {
    let site = site();
    let mut gateway = Gateway::start(&site);
    let mut curious = gateway.options("curious").user("curious", "what is it").connect();
    assert_eq!(curious.subscribe("#", QoS::AtMostOnce), ReasonCode::Success);
    assert_eq!(curious.subscribe("$SYS/#", QoS::AtMostOnce), ReasonCode::NotAuthorized);
    // Values are told meanwhile, to those who may read them.
    let mut reader = gateway.client("reader");
    assert_eq!(reader.subscribe("$SYS/broker/uptime", QoS::AtMostOnce), ReasonCode::Success);
    for _ in 0..2 {
        assert_eq!(reader.message().topic, "$SYS/broker/uptime");
    }
    reader.publish_and_wait("demo/first", b"", false);
    let first = curious.message();
    assert_eq!(first.topic, "demo/first", "nothing of $SYS came before");
    gateway.assert_sound();
}

#[test]
fn no_client_speaks_for_the_gateway() {
    let site = Site::new();
    site.configure("[broker]\nsys-interval = \"0s\"\n");
    site.rules("allow publish,subscribe user:demo $SYS/#\nallow publish,subscribe user:demo #\n");
    let mut gateway = Gateway::start(&site);
    let mut client = gateway.client("client");
    assert_eq!(client.subscribe("$SYS/#", QoS::AtMostOnce), ReasonCode::Success);
    let answer = client.publish_and_wait("$SYS/broker/uptime", b"1 seconds", true);
    assert_eq!(answer, ReasonCode::NotAuthorized);
    assert_eq!(
        client.receive_within(Duration::from_secs(2)),
        None::<Received>,
        "it was turned off"
    );
    let denied = gateway.events(0, "client denied");
    let why = denied[0]["decision"].as_str().unwrap_or_default();
    assert!(why.contains("$SYS"), "{why}");
    gateway.assert_sound();
}
