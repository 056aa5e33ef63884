//! The addresses of a QUIC bridge change under way.

use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_tests::{Client, Gateway, Operator, PATIENCE, Publisher, Site, Subscriber};

use super::udp_way::UdpWay;
use super::{configure, reader};
use crate::downstream::{wait_until_connected, wait_until_empty};

const QUIET: Duration = Duration::from_secs(2);

/// A site with a bridge to another over QUIC, and the way between them, which can change its addresses.
fn over_a_way_of_its_own() -> (Site, Site, UdpWay) {
    let site = Site::new();
    let (upstream, port) = Site::with_quic("");
    let way = UdpWay::to(port);
    configure(&site, &upstream, &format!("url = \"quic://localhost:{}\"", way.port));
    (site, upstream, way)
}

fn connections(site: &Site) -> u64 {
    let bridges = Operator::of(site).asks(&["bridges"]);
    let one = &bridges["bridges"][0];
    assert_eq!(one["state"], "connected", "{bridges}");
    one["counters"]["connections"].as_u64().unwrap_or_else(|| panic!("no connections: {bridges}"))
}

/// Receives until there are so many messages, and a little longer: they are all there, in order and once.
fn all_arrive(received: &mut Subscriber, reader: &mut Client, messages: u64) {
    let until = Instant::now() + PATIENCE;
    while received.numbers.last() != Some(&(messages - 1)) && Instant::now() < until {
        received.receive(reader, QUIET).expect("the connection stays");
    }
    received.receive(reader, QUIET).expect("the connection stays");
    let expected: Vec<u64> = (0..messages).collect();
    let differs =
        received.numbers.iter().zip(&expected).position(|(got, expected)| got != expected);
    assert_eq!((received.numbers.len(), differs), (expected.len(), None));
}

/// A router between the two forgets the bridge, again and again, and gives it another address.
#[test]
fn a_flow_goes_on_while_upstream_sees_it_come_from_elsewhere() {
    const MESSAGES: u64 = 2_000;
    const PART: u64 = 100;
    let (site, upstream, way) = over_a_way_of_its_own();
    let _there = Gateway::start_with(&upstream, 3);
    let mut reader = reader(&upstream);
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut publisher = Publisher::new("demo/up/x", QoS::ExactlyOnce, 50);
    let mut device = gateway.client("device");
    let mut received = Subscriber::default();
    let mut moves = 0;
    for part in 1..=MESSAGES / PART {
        publisher.publish(&mut device, part * PART).expect("the connection stays");
        way.move_away();
        moves += 1;
        received.receive(&mut reader, Duration::from_millis(20)).expect("the connection stays");
    }
    all_arrive(&mut received, &mut reader, MESSAGES);
    assert_eq!((connections(&site), way.clients()), (1, 1));
    println!("{MESSAGES} messages of QoS 2 over {moves} moves: 0 lost, 0 twice, 1 connection");
    wait_until_empty(&gateway);
    gateway.assert_sound();
}

/// Nothing comes back on the way that the bridge has used: it tries another by itself.
#[test]
fn a_bridge_that_hears_nothing_goes_on_from_another_port() {
    let (site, upstream, way) = over_a_way_of_its_own();
    let _there = Gateway::start_with(&upstream, 3);
    let mut reader = reader(&upstream);
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut publisher = Publisher::new("demo/up/x", QoS::ExactlyOnce, 50);
    let mut device = gateway.client("device");
    publisher.publish(&mut device, 100).expect("the connection stays");
    way.forget();
    let began = Instant::now();
    publisher.publish(&mut device, 300).expect("the connection stays");
    all_arrive(&mut Subscriber::default(), &mut reader, 300);
    assert_eq!((connections(&site), way.clients()), (1, 2));
    println!(
        "it has moved by itself, and all was there after {:.1} s",
        began.elapsed().as_secs_f32()
    );
    gateway.assert_sound();
}
