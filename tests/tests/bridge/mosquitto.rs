//! Mosquitto as upstream.

use mqtt::QoS;
use portcullis_tests::{Gateway, Site};

use crate::downstream::{counters, wait_for, wait_until_connected, wait_until_empty};
use crate::exchange::{self, arrival, publish, publish_as};
use crate::upstream::Mosquitto;

fn configure(site: &Site, mosquitto: &Mosquitto, more: &str) {
    exchange::configure(site, &[format!("mqtts://127.0.0.1:{}", mosquitto.tls)], more);
}

fn both_ways(version: &str) {
    let site = Site::new();
    let mosquitto = Mosquitto::start(&site, "");
    configure(&site, &mosquitto, &format!("version = \"{version}\""));
    exchange::wants_certificates(&site, mosquitto.tls);
    let mut there = mosquitto.client(&site, "onlooker");
    publish_as(&mut there, "site/state", b"known before", QoS::AtLeastOnce, true);
    let mut gateway = Gateway::start(&site);
    let mut here = exchange::meet(&gateway, &mut there, version);
    exchange::both_ways(&mut here, &mut there, QoS::ExactlyOnce, QoS::ExactlyOnce);
    wait_until_empty(&gateway);
    let counters = counters(&gateway);
    assert_eq!((counters["sent"].as_u64(), counters["confirmed"].as_u64()), (Some(9), Some(6)));
    assert_eq!((counters["received"].as_u64(), counters["looped"].as_u64()), (Some(10), Some(0)));
    exchange::retained(&mut here, &mut there);
    gateway.assert_sound();
}

#[test]
fn messages_pass_both_ways_in_mqtt_5() {
    both_ways("5.0");
}

#[test]
fn messages_pass_both_ways_in_mqtt_3_1_1() {
    both_ways("3.1.1");
}

#[test]
fn what_mosquitto_does_not_support_is_lowered() {
    let site = Site::new();
    let mosquitto = Mosquitto::start(&site, "max_qos 1\n");
    configure(&site, &mosquitto, "");
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut there = mosquitto.client(&site, "onlooker");
    there.subscribe("site/up/#", QoS::ExactlyOnce);
    let mut here = gateway.client("device");
    for number in 0..10 {
        publish(&mut here, "demo/up/a", &[number], QoS::ExactlyOnce);
    }
    for number in 0..10 {
        assert_eq!(
            arrival(&mut there),
            ("site/up/a".to_owned(), vec![number], QoS::AtLeastOnce, false)
        );
    }
    wait_for(&gateway, "confirmed", 10);
    wait_until_empty(&gateway);
    gateway.assert_sound();
}

#[test]
fn what_it_refuses_is_kept_from_it() {
    let site = Site::new();
    let mosquitto = Mosquitto::start(&site, "");
    configure(&site, &mosquitto, "profile = \"mosquitto\"");
    // It bears 200 slashes.
    let deep = format!("demo/deep{}", "/x".repeat(198));
    {
        let mut gateway = Gateway::start(&site);
        wait_until_connected(&gateway, 1);
        let mut there = mosquitto.client(&site, "onlooker");
        there.subscribe("site/up/#", QoS::AtLeastOnce);
        exchange::is_kept_from_it(&gateway, &mut there, &deep);
        gateway.assert_sound();
    }
    configure(&site, &mosquitto, "");
    exchange::costs_the_connection(&site, &deep);
}

/// Without its certificate it is not let in, and says so as long as that lasts.
#[test]
fn a_refusal_is_told_and_tried_again() {
    let site = Site::new();
    let mosquitto = Mosquitto::start(&site, "");
    configure(&site, &mosquitto, "");
    let text = std::fs::read_to_string(site.config()).expect("the configuration is there");
    let without: Vec<&str> = text
        .lines()
        .filter(|l| {
            !l.starts_with("tls.cert = \"pki/bridge") && !l.starts_with("tls.key = \"pki/bridge")
        })
        .collect();
    std::fs::write(site.config(), without.join("\n")).expect("the configuration is written");
    let mut gateway = Gateway::start(&site);
    let told = gateway.log.wait_for_lines("bridge not connected", 3, portcullis_tests::PATIENCE);
    assert!(told, "{}", gateway.log.text());
    let counters = counters(&gateway);
    assert_eq!(counters["connections"].as_u64(), Some(0));
    assert!(counters["failures"].as_u64() >= Some(3), "{counters}");
    gateway.assert_sound();
}
