//! Upstream is away, and comes back.

use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{DEMO, Gateway, Options, Publisher, Received, Site, collect};

use crate::downstream::{rules, to_gateway, wait_until_connected, wait_until_empty};

const QUIET: Duration = Duration::from_secs(2);

/// A site whose bridge sends everything below `demo/up` to `upstream`, under the same name, and fetches `demo/down`.
fn configure(site: &Site, upstream: &Site) {
    let rules = rules("up", &["filter = \"demo/up/#\""], &["filter = \"demo/down/#\""]);
    site.configure(&format!("{}{rules}", to_gateway(site, "up", upstream, "")));
}

fn kept(site: &Site, name: &str) -> Options {
    Options::new(name, site).user(DEMO, &site.password).persistent()
}

#[test]
fn what_comes_before_upstream_has_ever_been_there_arrives_in_order() {
    let (site, upstream) = (Site::new(), Site::new());
    configure(&site, &upstream);
    // Whoever reads there has a session, so that nothing depends on when it comes.
    let before = Gateway::start(&upstream);
    let mut reader = kept(&upstream, "reader").connect();
    assert!(!reader.subscribe("demo/up/#", QoS::AtLeastOnce).is_error());
    drop((reader, before));
    let first = Gateway::start(&site);
    let mut publisher = Publisher::new("demo/up/x", QoS::AtLeastOnce, 64);
    publisher.publish(&mut first.client("device"), 500).expect("the connection stays");
    // It all lies on disk, where a kill finds it.
    first.kill();
    let gateway = Gateway::start(&site);
    publisher.publish(&mut gateway.client("device"), 1000).expect("the connection stays");
    assert_eq!((publisher.acknowledged.len(), publisher.refused.len()), (1000, 0));

    let there = Gateway::start(&upstream);
    wait_until_connected(&gateway, 1);
    let (mut reader, answer) = kept(&upstream, "reader").try_connect().expect("a CONNACK");
    assert_eq!(answer, Received::ConnAck(ReasonCode::Success, true));
    let mut first_times: Vec<u64> = Vec::new();
    for number in collect(&mut reader, 2 * QUIET) {
        if !first_times.contains(&number) {
            first_times.push(number);
        }
    }
    assert_eq!(first_times, (0..1000).collect::<Vec<_>>());
    wait_until_empty(&gateway);
    drop(there);
}

#[test]
fn both_directions_survive_an_outage() {
    let (site, upstream) = (Site::new(), Site::new());
    configure(&site, &upstream);
    let there = Gateway::start(&upstream);
    let mut reader = kept(&upstream, "reader").connect();
    assert!(!reader.subscribe("demo/up/#", QoS::ExactlyOnce).is_error());
    let gateway = Gateway::start(&site);
    let mut device = kept(&site, "device").connect();
    assert!(!device.subscribe("demo/down/#", QoS::ExactlyOnce).is_error());
    wait_until_connected(&gateway, 1);
    drop((reader, device));

    // Upstream is killed, and messages come for it.
    there.kill();
    let mut up = Publisher::new("demo/up/x", QoS::ExactlyOnce, 32);
    up.publish(&mut gateway.client("sensor"), 300).expect("the connection stays");
    let there = Gateway::start(&upstream);
    wait_until_connected(&gateway, 2);
    let (mut reader, answer) = kept(&upstream, "reader").try_connect().expect("a CONNACK");
    assert_eq!(answer, Received::ConnAck(ReasonCode::Success, true));
    assert_eq!(collect(&mut reader, QUIET), (0..300).collect::<Vec<_>>());

    // The gateway is killed, and commands come for it.
    gateway.kill();
    let mut down = Publisher::new("demo/down/x", QoS::ExactlyOnce, 32);
    down.publish(&mut there.client("operator"), 300).expect("the connection stays");
    let gateway = Gateway::start(&site);
    let mut device = kept(&site, "device").connect();
    assert_eq!(collect(&mut device, QUIET), (0..300).collect::<Vec<_>>());
    drop(gateway);
}
