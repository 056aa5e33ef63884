//! What is counted.

use mqtt::QoS;
use portcullis_tests::{Gateway, Operator, Site};

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
