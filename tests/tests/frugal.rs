//! Where subscribers are online and quick, nothing is written: the SD card lives.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::thread;
use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_tests::{Gateway, Publisher, Site, collect};

const MESSAGES: u64 = 10_000;

/// Messages on their way at a time: few enough that the subscriber keeps up on a small machine.
const WINDOW: usize = 16;

/// A machine that is busy with other things may stop the subscriber for longer than the grace that an
/// online subscriber has, a few times in a run. What must not happen is a write per message.
const STRAGGLERS: u64 = MESSAGES / 20;

#[test]
fn an_online_persistent_subscriber_costs_no_write_per_message() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let mut subscriber = gateway.options("online").plain().persistent().connect();
    subscriber.subscribe("demo/frugal", QoS::AtLeastOnce);
    let disk_before = gateway.meter().disk_bytes();
    let before = gateway.counters();

    let begin = Instant::now();
    let reader = thread::spawn(move || collect(&mut subscriber, Duration::from_secs(3)));
    let mut client = gateway.options("publisher").plain().connect();
    let mut publisher = Publisher::new("demo/frugal", QoS::AtLeastOnce, WINDOW);
    publisher.publish(&mut client, MESSAGES).expect("the connection stays");
    let took = begin.elapsed();
    let numbers = reader.join().expect("the subscriber receives");

    assert_eq!(publisher.acknowledged.len() as u64, MESSAGES);
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>(), "each once and in order");
    let after = gateway.counters();
    let grown = |name: &str| after.get(name) - before.get(name);
    let disk_bytes = gateway.meter().disk_bytes() - disk_before;
    println!(
        "frugal messages={MESSAGES} acknowledged={} delivered={} ms={} deliveries_stored={} \
         deliveries_not_stored={} store_commits={} store_records_written={} store_bytes={} store_syncs={} \
         store_device_bytes={} disk_bytes={disk_bytes}",
        publisher.acknowledged.len(),
        numbers.len(),
        took.as_millis(),
        grown("deliveries_stored"),
        grown("deliveries_not_stored"),
        grown("store_commits"),
        grown("store_records_written"),
        grown("store_bytes"),
        grown("store_syncs"),
        grown("store_device_bytes"),
    );
    assert!(grown("deliveries_stored") <= STRAGGLERS, "{before:?}\n{after:?}");
    assert!(grown("store_records_written") <= 2 * STRAGGLERS, "{before:?}\n{after:?}");
    assert!(
        grown("store_device_bytes") <= disk_bytes,
        "the gateway's own meter counts what the kernel does"
    );
    gateway.assert_sound();
}
