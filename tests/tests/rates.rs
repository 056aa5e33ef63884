//! Clients that send more in a time than they may wait, or are sent away; nobody else notices.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::time::{Duration, Instant};

use mqtt::{QoS, ReasonCode, Version};
use portcullis_tests::tools::mosquitto_pub;
use portcullis_tests::{Client, Gateway, Operator, Received, Site};
use serde_json::json;

/// Rules by which DEMO may send 50 messages a second, 10 at once, and `bystander` as many as it likes.
const RULES: &str =
    "allow * * demo/#\nlimit user:demo messages=50/s messages-burst=10 subscriptions=2\n";

/// How long `count` messages take of one who may send 50 a second and 10 at once.
fn due(count: u32) -> Duration {
    Duration::from_secs(1) * (count - 10) / 50
}

fn site(more: &str) -> Site {
    let site = Site::new();
    site.configure(more);
    site.rules(RULES);
    site.user("bystander", "bystander");
    site
}

/// A client of another user, who is not limited, and gets what is published on this topic.
fn bystander(gateway: &Gateway<'_>, topic: &str) -> Client {
    let mut client = gateway.options("bystander").user("bystander", "bystander").connect();
    client.subscribe(topic, QoS::AtLeastOnce);
    client
}

#[test]
fn a_flood_is_slowed_down_and_nothing_of_it_is_lost() {
    const FLOOD: u32 = 100;
    let site = site("");
    let mut gateway = Gateway::start(&site);
    let mut watcher = bystander(&gateway, "demo/flood");
    let mut flooder = gateway.client("flooder");
    let began = Instant::now();
    for number in 0..FLOOD {
        flooder.publish("demo/flood", &number.to_be_bytes(), QoS::AtLeastOnce, false);
    }
    // Another client of the gateway is served at once meanwhile.
    let mut other = gateway.options("other").user("bystander", "bystander").connect();
    let asked = Instant::now();
    for _ in 0..50 {
        let code = other.publish_and_wait("demo/other", b"at once", false);
        assert_eq!(code, ReasonCode::NoMatchingSubscribers);
    }
    let others = asked.elapsed();
    for number in 0..FLOOD {
        assert_eq!(watcher.message().payload, number.to_be_bytes(), "all of it in its order");
    }
    let took = began.elapsed();
    assert!(took >= due(FLOOD), "{FLOOD} messages took {took:?}");
    assert!(others < due(FLOOD), "50 messages of a client without limits took {others:?}");
    for _ in 0..FLOOD {
        assert!(matches!(flooder.receive(), Received::Ack(..)), "each is acknowledged");
    }
    assert!(flooder.pings(), "it is still there");
    let counters = gateway.counters();
    assert!(counters.get("limit_message_rate") > 10, "{counters:?}");
    assert_eq!(counters.get("limit_byte_rate"), 0);
    gateway.assert_sound();
}

#[test]
fn mosquitto_pub_takes_as_long_as_it_has_to() {
    let site = site("");
    let mut gateway = Gateway::start(&site);
    for (version, qos) in [("mqttv5", "0"), ("mqttv5", "2"), ("mqttv311", "1")] {
        let mut watcher = bystander(&gateway, "demo/pub");
        let began = Instant::now();
        let flood = ["-V", version, "-q", qos, "-t", "demo/pub", "--repeat", "60", "-m", "x"];
        let out = mosquitto_pub(&site, &flood);
        assert!(out.status.success(), "{version}: {}", String::from_utf8_lossy(&out.stderr));
        for _ in 0..60 {
            watcher.message();
        }
        let took = began.elapsed();
        assert!(took >= due(60), "{version} {qos}: {took:?}");
        watcher.leave();
    }
    gateway.assert_sound();
}

#[test]
fn a_listener_limits_whom_no_extension_limits_and_the_stricter_counts() {
    let more = "[listeners.plain.rates]\nbytes = \"64 KiB\"\nbytes-burst = \"32 KiB\"\n\
                messages = 1000\nmessages-burst = 5\n";
    let site = site(more);
    let mut gateway = Gateway::start(&site);
    let operator = Operator::of(&site);
    let mut sender = gateway.options("sender").plain().user("bystander", "bystander").connect();
    let began = Instant::now();
    // 200 KiB are 32 at once and 168 in 2.6 seconds; the last packet passes when there is anything.
    for _ in 0..50 {
        sender.publish("demo/bytes", &[7; 4096], QoS::AtMostOnce, false);
    }
    assert!(sender.pings());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(2500), "200 KiB took {took:?}");
    assert!(gateway.counters().get("limit_byte_rate") > 10);

    let rate = |per_second: u32, burst: u32| json!({ "per_second": per_second, "burst": burst });
    let bytes = rate(64 << 10, 32 << 10);
    let mut demo = gateway.options("demo").plain().connect();
    let seen = operator.asks(&["clients", "demo"]);
    let expected = json!({
        "messages": rate(50, 5), "bytes": bytes, "on_excess": "delay", "max_inflight": null,
        "max_subscriptions": 2,
    });
    assert_eq!(seen["limits"], expected, "{seen}");
    assert_eq!(seen["waits_for_rate"], json!(false), "{seen}");
    let seen = operator.asks(&["clients", "sender"]);
    assert_eq!(seen["limits"]["messages"], rate(1000, 5), "{seen}");
    let shown = operator.says(&["clients", "demo"]);
    assert!(shown.contains("50 messages a second, 5 at once; 65536 bytes a second"), "{shown}");
    let explained = operator.asks(&["explain", "--client", "demo", "--publish", "demo/x"]);
    assert_eq!(explained["limits"], expected, "{explained}");

    assert_eq!(demo.subscribe("demo/1", QoS::AtMostOnce), ReasonCode::GRANTED_QOS_0);
    assert_eq!(demo.subscribe("demo/2", QoS::AtMostOnce), ReasonCode::GRANTED_QOS_0);
    assert_eq!(demo.subscribe("demo/3", QoS::AtMostOnce), ReasonCode::QuotaExceeded);
    let unlimited = gateway.options("free").user("bystander", "bystander").connect();
    assert_eq!(operator.asks(&["clients", "free"])["limits"], json!(null));
    unlimited.leave();
    gateway.assert_sound();
}

#[test]
fn whoever_is_to_be_sent_away_is_told_why() {
    let site = site("[listeners.plain.rates]\non-excess = \"disconnect\"\n");
    let mut gateway = Gateway::start(&site);
    for (version, told) in [(Version::V5, true), (Version::V3_1_1, false)] {
        let options = gateway.options("rude").plain().version(version);
        let mut rude = options.connect();
        for _ in 0..10 {
            rude.publish("demo/x", b"x", QoS::AtMostOnce, false);
        }
        assert!(rude.pings(), "ten at once are its right");
        // The gateway may have gone while this is sent.
        for _ in 0..20 {
            let publish = [0x30, 9, 0, 6, b'd', b'e', b'm', b'o', b'/', b'x', 0];
            let old = [0x30, 8, 0, 6, b'd', b'e', b'm', b'o', b'/', b'x'];
            let _ = rude.send_raw(if version.is_v5() { &publish } else { &old });
        }
        if told {
            let code = ReasonCode::MessageRateTooHigh;
            assert_eq!(rude.receive(), Received::Disconnect(code));
        }
        assert_eq!(rude.receive(), Received::Closed);
    }
    assert_eq!(gateway.counters().get("limit_message_rate"), 2);
    gateway.assert_sound();
}

#[test]
fn a_client_that_is_not_read_is_not_silent() {
    let site = site("[listeners.plain.rates]\nbytes = \"16 B\"\n");
    let mut gateway = Gateway::start(&site);
    let mut watcher = bystander(&gateway, "demo/slow");
    let options = gateway.options("slow").plain().user("bystander", "bystander").keep_alive(1);
    let mut slow = options.connect();
    slow.publish("demo/slow", &[7; 72], QoS::AtMostOnce, false);
    assert_eq!(watcher.message().payload, [7; 72]);
    let began = Instant::now();
    // 86 bytes were taken of 16, so that this waits for longer than two Keep Alives.
    slow.publish("demo/slow", b"patient", QoS::AtLeastOnce, false);
    assert_eq!(watcher.message().payload, b"patient");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(4), "{took:?}");
    assert!(matches!(slow.receive(), Received::Ack(..)));
    assert!(slow.pings(), "it is still there");
    gateway.assert_sound();
}
