//! The same matters for each broker of others: TLS with client certificates, both directions, every QoS, retained messages.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{PacketKind, QoS, ReasonCode, Version};
use portcullis_tests::{Client, Gateway, Options, PATIENCE, Received, Site, Wire};

use crate::downstream::{
    QUICK, client_certificate, counters, rules, wait_for, wait_until_connected, wait_until_empty,
};

pub(crate) const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// The common name of the certificate that bridges, and who looks on, show.
pub(crate) const BRIDGE: &str = "bridge";

/// A site with a bridge to `urls`, with a client certificate: `demo/up/...` is `site/up/...` there, and `demo/deep/...` has
/// four more levels; `site/down/...` and `site/state` are `demo/down/...` and `demo/state` here.
pub(crate) fn configure(site: &Site, urls: &[String], more: &str) {
    let certificate = client_certificate(site, BRIDGE);
    let ca = site.ca();
    let rules = rules(
        "cloud",
        &[
            "filter = \"demo/up/#\"\nstrip = \"demo\"\nprefix = \"site\"",
            "filter = \"demo/deep/#\"\nprefix = \"site/a/b/c\"",
        ],
        &[
            "filter = \"site/down/#\"\nstrip = \"site\"\nprefix = \"demo\"",
            "filter = \"site/state\"\nstrip = \"site\"\nprefix = \"demo\"",
        ],
    );
    site.configure(&format!(
        "[bridges.cloud]\nurls = {urls:?}\ntls.ca = {ca:?}\ntls.cert = \"{certificate}.pem\"\n\
         tls.key = \"{certificate}.key\"\ntls.server-name = \"localhost\"\n{QUICK}{more}\n{rules}"
    ));
}

/// A client of the broker elsewhere, with the bridge's certificate. A cluster that has just found together may need another attempt.
pub(crate) fn onlooker(site: &Site, port: u16, version: Version, options: &Options) -> Client {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Ok(mut client) = options.clone().version(version).knock_on(as_bridge(site, port)) {
            match client.receive() {
                Received::ConnAck(ReasonCode::Success, _) => return client,
                answer => assert!(Instant::now() < until, "it is not let in: {answer:?}"),
            }
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// A connection with the bridge's certificate.
pub(crate) fn as_bridge(site: &Site, port: u16) -> Wire {
    let (cert, key) = (site.path("pki/bridge.pem"), site.path("pki/bridge.key"));
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let wire = Wire::tls_to(b"mqtt", address, &site.ca(), Some((&cert, &key)));
    wire.expect("the broker accepts the certificate")
}

/// Whoever shows no certificate is not heard.
pub(crate) fn wants_certificates(site: &Site, port: u16) {
    let Ok(wire) = Wire::tls(port, &site.ca()) else { return };
    let stranger = Options::new("stranger", site).anonymous().version(Version::V3_1_1);
    let Ok(mut client) = stranger.knock_on(wire) else { return };
    assert_eq!(client.receive(), Received::Closed, "it lets in whoever has no certificate");
}

/// A device here, once the bridge speaks `version` with the broker there; the device and `there` have subscribed to what the
/// other will send.
pub(crate) fn meet(gateway: &Gateway<'_>, there: &mut Client, version: &str) -> Client {
    wait_until_connected(gateway, 1);
    let connected = gateway.log.events(0, "bridge connected");
    assert_eq!(connected[0]["version"], version, "{connected:?}");
    let mut here = gateway.client("device");
    there.subscribe("site/up/#", QoS::ExactlyOnce);
    here.subscribe("demo/down/#", QoS::ExactlyOnce);
    here
}

/// A message as it arrives: topic, payload, QoS, RETAIN.
pub(crate) fn arrival(client: &mut Client) -> (String, Vec<u8>, QoS, bool) {
    let message = client.message();
    if message.qos == QoS::ExactlyOnce {
        client.receive();
        client.ack(PacketKind::PubComp, message.id).expect("the connection is there");
    }
    (message.topic, message.payload, message.qos, message.retain)
}

/// Publishes and waits until that is confirmed; a broker that takes QoS 2 for QoS 1 confirms it like that.
pub(crate) fn publish(client: &mut Client, topic: &str, payload: &[u8], qos: QoS) {
    publish_as(client, topic, payload, qos, false);
}

pub(crate) fn publish_as(client: &mut Client, topic: &str, payload: &[u8], qos: QoS, retain: bool) {
    let id = client.publish(topic, payload, qos, retain);
    if qos == QoS::AtMostOnce {
        return;
    }
    match client.receive() {
        Received::Ack(PacketKind::PubAck, ..) => {}
        Received::Ack(PacketKind::PubRec, ..) => {
            client.ack(PacketKind::PubRel, id).expect("the connection is there");
            client.receive();
        }
        other => panic!("{other:?} for a message of QoS {qos:?}"),
    }
}

/// Three messages of each QoS in each direction, which arrive there at `there_most` and here at `here_most` at most.
pub(crate) fn both_ways(here: &mut Client, there: &mut Client, there_most: QoS, here_most: QoS) {
    for (number, qos) in (0_u8..9).zip(QOS.into_iter().cycle()) {
        publish(here, "demo/up/a", &[number], qos);
        let expected = ("site/up/a".to_owned(), vec![number], qos.min(there_most), false);
        assert_eq!(arrival(there), expected);
        publish(there, "site/down/b", &[number], qos);
        let expected = ("demo/down/b".to_owned(), vec![number], qos.min(here_most), false);
        assert_eq!(arrival(here), expected);
    }
}

/// What was retained there before the bridge came is retained here, and what is retained here is retained there.
pub(crate) fn retained(here: &mut Client, there: &mut Client) {
    assert!(!here.subscribe("demo/state", QoS::AtLeastOnce).is_error());
    let (topic, payload, _, retain) = arrival(here);
    assert_eq!((&*topic, &*payload, retain), ("demo/state", &b"known before"[..], true));
    publish_as(here, "demo/up/state", b"retained", QoS::AtLeastOnce, true);
    // Whoever subscribed before is told without RETAIN, and by then it is there.
    let (topic, payload, _, _) = arrival(there);
    assert_eq!((&*topic, &*payload), ("site/up/state", &b"retained"[..]));
    assert!(!there.subscribe("site/up/state", QoS::AtLeastOnce).is_error());
    let (topic, payload, _, retain) = arrival(there);
    assert_eq!((&*topic, &*payload, retain), ("site/up/state", &b"retained"[..], true));
}

/// With its profile: a message that the broker would end the connection for is a dead letter, and the rest goes on.
pub(crate) fn is_kept_from_it(gateway: &Gateway<'_>, there: &mut Client, beyond: &str) {
    let before = counters(gateway);
    let mut device = gateway.client("device-beyond");
    assert_eq!(device.publish_and_wait(beyond, b"beyond", false), ReasonCode::Success);
    device.publish_and_wait("demo/up/a", b"within", false);
    assert_eq!(arrival(there).1, b"within");
    wait_for(gateway, "refused", before["refused"].as_u64().unwrap_or_default() + 1);
    wait_until_empty(gateway);
    let after = counters(gateway);
    assert_eq!(after["connections"], before["connections"], "{after}");
}

/// Without: the connection ends for it, again and again.
pub(crate) fn costs_the_connection(site: &Site, beyond: &str) {
    let gateway = Gateway::start(site);
    wait_until_connected(&gateway, 1);
    let mut device = gateway.client("device-beyond");
    assert_eq!(device.publish_and_wait(beyond, b"beyond", false), ReasonCode::Success);
    wait_for(&gateway, "failures", 2);
}
