//! A Mosquitto that is killed, with and without a memory.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Gateway, PATIENCE, Publisher, Received, Site, collect, free_port};

use crate::downstream::{QUICK, counters, rules, wait_for, wait_until_connected, wait_until_empty};
use crate::upstream::Mosquitto;

fn configure(site: &Site, ports: [u16; 2]) {
    let rules = rules("up", &["filter = \"demo/up/#\""], &["filter = \"demo/down/#\""]);
    let port = ports[1];
    site.configure(&format!("[bridges.up]\nurl = \"mqtt://127.0.0.1:{port}\"\n{QUICK}{rules}"));
}

/// Whether each connection of the bridge so far found a session at upstream.
fn sessions(gateway: &Gateway<'_>) -> Vec<Option<bool>> {
    let events = gateway.log.events(0, "bridge connected");
    events.iter().map(|event| event["session_present"].as_bool()).collect()
}

#[test]
fn what_upstream_forgot_it_is_asked_again() {
    let (site, ports) = (Site::new(), [free_port(), free_port()]);
    configure(&site, ports);
    let there = Mosquitto::start_at(&site, ports, "", "");
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    there.kill();
    let mut device = gateway.client("device");
    device.subscribe("demo/down/#", QoS::AtLeastOnce);
    for number in 0..10_u8 {
        let code = device.publish_and_wait("demo/up/x", &[number], false);
        assert_eq!(code, ReasonCode::Success);
    }
    let there = Mosquitto::start_at(&site, ports, "", "");
    wait_until_connected(&gateway, 2);
    wait_until_empty(&gateway);
    assert_eq!(sessions(&gateway), [Some(false), Some(false)], "Mosquitto keeps nothing by itself");
    let mut operator = there.client(&site, "operator");
    operator.publish_and_wait("demo/down/x", b"go", false);
    assert_eq!(device.message().payload, b"go");
    gateway.assert_sound();
}

/// What Mosquitto confirmed and had not saved is its own to lose; all that came later is not.
#[test]
fn an_upstream_that_is_killed_in_the_middle_gets_what_it_had_not_confirmed() {
    let (site, ports) = (Site::new(), [free_port(), free_port()]);
    configure(&site, ports);
    let place = site.path("mosquitto");
    std::fs::create_dir_all(&place).expect("a folder");
    let keeps = format!(
        "persistence true\npersistence_location {}/\nautosave_interval 1\nmax_queued_messages 0\n",
        place.display()
    );
    let start = || Mosquitto::start_at(&site, ports, &keeps, "");
    let there = start();
    let reader = there.options(&site, "reader").persistent();
    assert!(!reader.connect().subscribe("demo/up/#", QoS::AtLeastOnce).is_error());
    // Its sessions are on disk before it is killed.
    thread::sleep(Duration::from_secs(3));
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    thread::sleep(Duration::from_secs(3));
    let mut publisher = Publisher::new("demo/up/x", QoS::AtLeastOnce, 64);
    let mut device = gateway.client("device");
    publisher.publish(&mut device, 2000).expect("the connection stays");
    there.kill();
    let before = publisher.numbered();
    publisher.publish(&mut device, 3000).expect("the connection stays");
    let there = start();
    wait_until_connected(&gateway, 2);
    wait_until_empty(&gateway);
    assert_eq!(sessions(&gateway), [Some(false), Some(true)]);
    let (mut client, answer) = reader.try_connect().expect("a CONNACK");
    assert_eq!(answer, Received::ConnAck(ReasonCode::Success, true));
    let arrived: BTreeSet<u64> = collect(&mut client, Duration::from_secs(2)).into_iter().collect();
    let lost: Vec<_> = (0..3000).filter(|number| !arrived.contains(number)).collect();
    println!("mosquitto killed: {} of {before} that it had confirmed are gone", lost.len());
    assert!(lost.iter().all(|number| *number < before), "{lost:?}");
    gateway.assert_sound();
    drop(there);
}

#[test]
fn the_first_address_is_used_again_when_it_is_there_again() {
    let site = Site::new();
    let (first, second) = ([free_port(), free_port()], [free_port(), free_port()]);
    let urls = [first[1], second[1]].map(|port| format!("\"mqtt://127.0.0.1:{port}\"")).join(", ");
    let rules = rules("up", &["filter = \"demo/up/#\""], &[]);
    site.configure(&format!("[bridges.up]\nurls = [{urls}]\n{QUICK}fail-back = \"1s\"\n{rules}"));
    let later = Mosquitto::start_at(&site, second, "", "");
    let mut gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut reader = later.client(&site, "reader");
    reader.subscribe("demo/up/#", QoS::AtLeastOnce);
    let mut device = gateway.client("device");
    device.publish_and_wait("demo/up/x", b"1", false);
    assert_eq!(reader.message().payload, b"1");
    wait_for(&gateway, "confirmed", 1);

    let earlier = Mosquitto::start_at(&site, first, "", "");
    let mut reader = earlier.client(&site, "reader");
    reader.subscribe("demo/up/#", QoS::AtLeastOnce);
    let url = format!("mqtt://127.0.0.1:{}", first[1]);
    let back = gateway.log.wait(0, PATIENCE, |event| {
        event["message"] == "bridge connected" && event["url"] == url.as_str()
    });
    assert!(back.is_some(), "{}", gateway.log.text());
    device.publish_and_wait("demo/up/x", b"2", false);
    assert_eq!(reader.message().payload, b"2");
    wait_for(&gateway, "confirmed", 2);
    assert_eq!(counters(&gateway)["sent"].as_u64(), Some(2), "it only grows");
    gateway.assert_sound();
    drop(later);
}
