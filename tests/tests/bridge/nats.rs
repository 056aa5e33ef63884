//! A cluster of NATS servers as upstream: MQTT 3.1.1, with what clients leave behind in JetStream.

use mqtt::{QoS, Version};
use portcullis_tests::{Gateway, NatsCluster, Options, Site};

use crate::downstream::{counters, wait_until_connected, wait_until_empty};
use crate::exchange::{self, onlooker, publish_as};

#[test]
fn messages_pass_both_ways() {
    let site = Site::new();
    let cluster = NatsCluster::start(&site);
    exchange::configure(&site, &cluster.urls(0), "");
    exchange::wants_certificates(&site, cluster.mqtt(0));
    // Whoever looks on does so at another node.
    let looks_on = Options::new("onlooker", &site);
    let mut there = onlooker(&site, cluster.mqtt(1), Version::V3_1_1, &looks_on);
    publish_as(&mut there, "site/state", b"known before", QoS::AtLeastOnce, true);
    let mut gateway = Gateway::start(&site);
    let mut here = exchange::meet(&gateway, &mut there, "3.1.1");
    exchange::both_ways(&mut here, &mut there, QoS::ExactlyOnce, QoS::ExactlyOnce);
    exchange::retained(&mut here, &mut there);
    wait_until_empty(&gateway);
    assert_eq!(counters(&gateway)["connections"].as_u64(), Some(1), "it stayed connected");
    gateway.assert_sound();
}

#[test]
fn what_it_refuses_is_kept_from_it() {
    let site = Site::new();
    let cluster = NatsCluster::start(&site);
    exchange::configure(&site, &cluster.urls(0), "profile = \"nats\"");
    let mut there =
        onlooker(&site, cluster.mqtt(1), Version::V3_1_1, &Options::new("onlooker", &site));
    there.subscribe("site/up/a", QoS::AtLeastOnce);
    {
        let mut gateway = Gateway::start(&site);
        wait_until_connected(&gateway, 1);
        exchange::is_kept_from_it(&gateway, &mut there, "demo/up/with a space");
        gateway.assert_sound();
    }
    exchange::configure(&site, &cluster.urls(0), "");
    exchange::costs_the_connection(&site, "demo/up/with a space");
}
