//! Mosquitto as upstream.

use mqtt::QoS;
use portcullis_tests::{Client, Gateway, Site};

use crate::downstream::{
    QUICK, client_certificate, counters, rules, wait_for, wait_until_connected, wait_until_empty,
};
use crate::upstream::Mosquitto;

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// A site with a bridge to `mosquitto`: `demo/up/...` is `site/up/...` there, `site/down/...` is `demo/down/...` here.
fn configure(site: &Site, mosquitto: &Mosquitto, more: &str) {
    let certificate = client_certificate(site, "bridge");
    let (port, ca) = (mosquitto.tls, site.ca());
    let rules = rules(
        "cloud",
        &["filter = \"demo/up/#\"\nstrip = \"demo\"\nprefix = \"site\""],
        &["filter = \"site/down/#\"\nstrip = \"site\"\nprefix = \"demo\""],
    );
    site.configure(&format!(
        "[bridges.cloud]\nurl = \"mqtts://127.0.0.1:{port}\"\ntls.ca = {ca:?}\ntls.cert = \"{certificate}.pem\"\n\
         tls.key = \"{certificate}.key\"\ntls.server-name = \"localhost\"\n{QUICK}{more}\n{rules}"
    ));
}

/// A message as it arrives: topic, payload, QoS, RETAIN.
fn arrival(client: &mut Client) -> (String, Vec<u8>, QoS, bool) {
    let message = client.message();
    if message.qos == QoS::ExactlyOnce {
        client.receive();
        client.ack(mqtt::PacketKind::PubComp, message.id).expect("the connection is there");
    }
    (message.topic, message.payload, message.qos, message.retain)
}

fn publish(client: &mut Client, topic: &str, payload: &[u8], qos: QoS) {
    let id = client.publish(topic, payload, qos, false);
    match qos {
        QoS::AtMostOnce => {}
        QoS::AtLeastOnce => drop(client.receive()),
        QoS::ExactlyOnce => {
            client.receive();
            client.ack(mqtt::PacketKind::PubRel, id).expect("the connection is there");
            client.receive();
        }
    }
}

fn both_ways(version: &str) {
    let site = Site::new();
    let mosquitto = Mosquitto::start(&site, "");
    configure(&site, &mosquitto, &format!("version = \"{version}\""));
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut there = mosquitto.client(&site, "onlooker");
    let mut here = gateway.client("device");
    there.subscribe("site/up/#", QoS::ExactlyOnce);
    here.subscribe("demo/down/#", QoS::ExactlyOnce);
    for (number, qos) in (0_u8..).zip(QOS) {
        publish(&mut here, "demo/up/a", &[number], qos);
        assert_eq!(arrival(&mut there), ("site/up/a".to_owned(), vec![number], qos, false));
        publish(&mut there, "site/down/b", &[number], qos);
        assert_eq!(arrival(&mut here), ("demo/down/b".to_owned(), vec![number], qos, false));
    }
    let counters = counters(&gateway);
    assert_eq!((counters["sent"].as_u64(), counters["confirmed"].as_u64()), (Some(3), Some(2)));
    assert_eq!((counters["received"].as_u64(), counters["looped"].as_u64()), (Some(3), Some(0)));
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
