//! An upstream that keeps the connection, answers everything and routes nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use mqtt::QoS;
use portcullis_tests::{Gateway, Operator, PATIENCE, Site};
use serde_json::Value;

use crate::downstream::{QUICK, counters, rules, wait_for, wait_until_connected};
use crate::scripted::Scripted;

/// Waits until the operator reads this of the only bridge.
fn wait_until(operator: &Operator, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = operator.asks(&["bridges"]);
        let bridge = answer["bridges"][0].clone();
        if is(&bridge) {
            return bridge;
        }
        assert!(Instant::now() < until, "{what}: {bridge}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn an_upstream_that_routes_nothing_is_degraded_and_then_another_is_used() {
    let (first, second) = (Scripted::start(true), Scripted::start(true));
    let site = Site::new();
    site.rules("allow publish,subscribe user:demo demo/#\nallow subscribe user:demo $SYS/#\n");
    let (one, other) = (first.port, second.port);
    site.configure(&format!(
        "[broker]\nsys-interval = \"1s\"\n[bridges.up]\n\
         urls = [\"mqtt://127.0.0.1:{one}\", \"mqtt://127.0.0.1:{other}\"]\nclient-id = \"gate/7\"\n\
         probe.interval = \"200ms\"\nprobe.missing = 3\n{QUICK}\n{}",
        rules("up", &["filter = \"demo/up/#\""], &[])
    ));
    let mut gateway = Gateway::start(&site);
    let operator = Operator::of(&site);
    wait_until_connected(&gateway, 1);
    let bridge = wait_until(&operator, "probes come back", |it| it["health"] == "healthy");
    assert!(bridge["round_trip_ms"].is_u64(), "{bridge}");
    assert!(operator.says(&["bridges"]).contains("healthy "), "people read it too");
    let (topic, _) = first.published().remove(0);
    assert_eq!(topic, "portcullis/probe/gate_7");

    let mut reader = gateway.client("reader");
    assert!(!reader.subscribe("$SYS/broker/connection/#", QoS::AtMostOnce).is_error());
    let mut told = BTreeMap::new();
    while !told.contains_key("$SYS/broker/connection/up/probe/round-trip/ms") {
        let message = reader.message();
        told.insert(message.topic.clone(), String::from_utf8_lossy(&message.payload).into_owned());
    }
    let says = |key: &str| told.get(&format!("$SYS/broker/connection/up/{key}")).cloned();
    assert_eq!(says("state").as_deref(), Some("1"), "{told:?}");
    assert_eq!(says("condition").as_deref(), Some("connected"), "{told:?}");
    assert_eq!(says("messages/queued").as_deref(), Some("0"), "{told:?}");

    // It goes on to answer, PINGREQ too.
    first.routes(false);
    wait_until_connected(&gateway, 2);
    let bridge = wait_until(&operator, "the other is healthy", |it| it["health"] == "healthy");
    assert_eq!(bridge["url"], format!("mqtt://127.0.0.1:{other}"));
    assert!(gateway.log.wait_for_words("routes nothing: 3 probes did not come back", PATIENCE));
    let counters = counters(&gateway);
    assert!(counters["probes_missing"].as_u64() >= Some(3), "{counters}");
    // What is published meanwhile arrives where messages are routed.
    let mut device = gateway.client("device");
    device.publish_and_wait("demo/up/x", b"1", false);
    wait_for(&gateway, "confirmed", 1);
    assert!(second.published().contains(&("demo/up/x".to_owned(), b"1".to_vec())));
    gateway.assert_sound();
}

#[test]
fn an_upstream_that_never_lets_probes_through_is_told_of_and_kept() {
    let upstream = Scripted::start(false);
    let site = Site::new();
    let port = upstream.port;
    site.configure(&format!(
        "[bridges.up]\nurl = \"mqtt://127.0.0.1:{port}\"\nprobe.interval = \"100ms\"\n\
         probe.missing = 2\nprobe.topic = \"probe/x\"\n{QUICK}\n{}",
        rules("up", &["filter = \"demo/up/#\""], &[])
    ));
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    wait_for(&gateway, "probes_missing", 5);
    let bridge = wait_until(&Operator::of(&site), "degraded", |it| it["health"] == "degraded");
    assert_eq!((&bridge["state"], &bridge["round_trip_ms"]), (&"connected".into(), &Value::Null));
    assert_eq!(counters(&gateway)["connections"].as_u64(), Some(1), "it stayed connected");
    assert!(upstream.published().iter().all(|(topic, _)| topic == "probe/x"));
}
