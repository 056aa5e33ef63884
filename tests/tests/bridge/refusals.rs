//! What upstream refuses does not hold up the rest.

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Gateway, Site};

use crate::downstream::{
    counters, rules, to_gateway, wait_for, wait_until_connected, wait_until_empty,
};

#[test]
fn a_refused_message_is_a_dead_letter_and_the_rest_goes_on() {
    let (site, upstream) = (Site::new(), Site::new());
    upstream.rules("deny publish * demo/up/secret\nallow publish,subscribe user:demo demo/#\n");
    site.rules("allow publish,subscribe user:demo demo/#\nallow subscribe user:demo $bridge/#\n");
    let rules = rules("up", &["filter = \"demo/up/#\""], &[]);
    site.configure(&format!(
        "{}{rules}",
        to_gateway(&site, "up", &upstream, "max-packet-size = \"1 KiB\"")
    ));
    let there = Gateway::start(&upstream);
    let mut reader = there.client("reader");
    reader.subscribe("demo/up/#", QoS::AtLeastOnce);
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut watcher = gateway.client("watcher");
    watcher.subscribe("$bridge/up/refused/#", QoS::AtLeastOnce);

    let mut device = gateway.client("device");
    for (topic, payload) in [
        ("demo/up/a", &b"1"[..]),
        ("demo/up/secret", b"2"),
        ("demo/up/a", &[b'x'; 2000]),
        ("demo/up/a", b"4"),
    ] {
        assert_eq!(device.publish_and_wait(topic, payload, false), ReasonCode::Success);
    }
    for payload in [&b"1"[..], b"4"] {
        let message = reader.message();
        assert_eq!((&*message.topic, &*message.payload), ("demo/up/a", payload));
    }
    let mut letters: Vec<_> =
        (0..2).map(|_| watcher.message()).map(|it| (it.topic, it.payload.len())).collect();
    letters.sort();
    let place = |topic: &str| format!("$bridge/up/refused/demo/up/{topic}");
    assert_eq!(letters, [(place("a"), 2000), (place("secret"), 1)]);
    wait_for(&gateway, "refused", 2);
    wait_until_empty(&gateway);
    assert_eq!(counters(&gateway)["connections"].as_u64(), Some(1), "it stayed connected");
    gateway.assert_sound();
}

#[test]
fn no_client_takes_the_session_of_a_bridge() {
    let (site, upstream) = (Site::new(), Site::new());
    site.configure(&format!(
        "{}{}",
        to_gateway(&site, "up", &upstream, ""),
        rules("up", &["filter = \"demo/up/#\""], &[])
    ));
    let gateway = Gateway::start(&site);
    let (_, answer) = gateway.options("$bridge/up").try_connect().expect("a CONNACK");
    let refused = portcullis_tests::Received::ConnAck(ReasonCode::ClientIdentifierNotValid, false);
    assert_eq!(answer, refused);
}
