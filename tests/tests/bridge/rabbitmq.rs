//! RabbitMQ as upstream. Debian's speaks MQTT 3.1.1 only, closes a connection of MQTT 5 without an answer, and takes QoS 2 for
//! QoS 1.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use mqtt::{QoS, Version};
use portcullis_tests::{Client, Gateway, Options, Publisher, RabbitMq, Site, Subscriber};

use crate::downstream::{wait_until_connected, wait_until_empty};
use crate::exchange::{self, BRIDGE, onlooker, publish_as};

/// Messages that are on their way while it is killed.
const MESSAGES: u64 = 2000;
const QUIET: Duration = Duration::from_secs(5);

fn client(site: &Site, broker: &RabbitMq<'_>, options: &Options) -> Client {
    onlooker(site, broker.tls, Version::V3_1_1, options)
}

/// All of it in one test, because it takes long to start.
#[test]
fn messages_pass_both_ways_and_outlive_it() {
    let site = Site::new();
    let mut broker = RabbitMq::start(&site, &[BRIDGE]);
    exchange::configure(&site, &[format!("mqtts://127.0.0.1:{}", broker.tls)], "");
    exchange::wants_certificates(&site, broker.tls);
    let mut there = client(&site, &broker, &Options::new("onlooker", &site));
    publish_as(&mut there, "site/state", b"known before", QoS::AtLeastOnce, true);
    let mut gateway = Gateway::start(&site);
    let mut here = exchange::meet(&gateway, &mut there, "3.1.1");
    // It hands on at QoS 1 at most; what goes out at QoS 2 is lowered there.
    exchange::both_ways(&mut here, &mut there, QoS::AtLeastOnce, QoS::AtLeastOnce);
    exchange::retained(&mut here, &mut there);
    wait_until_empty(&gateway);

    let reader = Options::new("reader", &site).persistent();
    let mut reading = client(&site, &broker, &reader);
    assert!(!reading.subscribe("site/up/stream", QoS::AtLeastOnce).is_error());
    let mut publisher = Publisher::new("demo/up/stream", QoS::AtLeastOnce, 64);
    thread::scope(|scope| {
        let stream = scope.spawn(|| publisher.publish(&mut here, MESSAGES));
        thread::sleep(Duration::from_millis(300));
        broker.kill();
        broker.restart();
        stream.join().expect("the publisher does not fail").expect("the gateway stays");
    });
    wait_until_empty(&gateway);
    let mut subscriber = Subscriber::default();
    let mut reading = client(&site, &broker, &reader);
    subscriber.receive(&mut reading, QUIET).expect("the connection stays");
    let arrived: BTreeSet<u64> = subscriber.numbers.iter().copied().collect();
    let lost = publisher.acknowledged.difference(&arrived).count();
    println!(
        "rabbitmq killed: acknowledged={} arrived={} lost={lost} duplicates={}",
        publisher.acknowledged.len(),
        arrived.len(),
        subscriber.numbers.len() - arrived.len(),
    );
    assert_eq!((publisher.acknowledged.len() as u64, lost), (MESSAGES, 0));
    gateway.assert_sound();
    drop((here, gateway));

    // A topic becomes a routing key, of 255 bytes at most.
    let long = format!("demo/up/{}", "x".repeat(300));
    let urls = [format!("mqtts://127.0.0.1:{}", broker.tls)];
    exchange::configure(&site, &urls, "profile = \"rabbitmq\"");
    {
        let mut gateway = Gateway::start(&site);
        wait_until_connected(&gateway, 1);
        let mut there = client(&site, &broker, &Options::new("onlooker", &site));
        there.subscribe("site/up/a", QoS::AtLeastOnce);
        exchange::is_kept_from_it(&gateway, &mut there, &long);
        gateway.assert_sound();
    }
    exchange::configure(&site, &urls, "");
    exchange::costs_the_connection(&site, &long);
}
