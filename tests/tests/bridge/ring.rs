//! Three gateways in a ring, each with a bridge to the next, for the same topics in both directions.

use std::collections::BTreeMap;
use std::time::Duration;

use mqtt::QoS;
use portcullis_tests::{Gateway, Received, Site};

use crate::downstream::{counters, rules, to_gateway, wait_until_connected};

const COUNT: usize = 20;

#[test]
fn nothing_circulates() {
    let sites = [Site::new(), Site::new(), Site::new()];
    for (at, site) in sites.iter().enumerate() {
        let next = &sites[(at + 1) % sites.len()];
        let rules = rules("next", &["filter = \"demo/ring/#\""], &["filter = \"demo/ring/#\""]);
        site.configure(&format!("{}{rules}", to_gateway(site, "next", next, "")));
    }
    let gateways: Vec<_> = sites.iter().map(Gateway::start).collect();
    gateways.iter().for_each(|gateway| wait_until_connected(gateway, 1));
    let mut readers: Vec<_> = gateways.iter().map(|gateway| gateway.client("reader")).collect();
    for reader in &mut readers {
        assert!(!reader.subscribe("demo/ring/#", QoS::AtLeastOnce).is_error());
    }
    for (at, gateway) in gateways.iter().enumerate() {
        let mut device = gateway.client("device");
        for number in 0..COUNT {
            device.publish_and_wait("demo/ring/x", format!("{at} {number}").as_bytes(), false);
        }
    }
    for (at, reader) in readers.iter_mut().enumerate() {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        while let Some(Received::Publish(message)) = reader.receive_within(Duration::from_secs(2)) {
            reader.acknowledge(&message).expect("the connection is there");
            *times.entry(String::from_utf8(message.payload).expect("text")).or_default() += 1;
        }
        assert_eq!(times.len(), gateways.len() * COUNT, "gateway {at} has all of them");
        for (message, times) in times {
            // There are two ways from one gateway to another, and none back.
            let most = if message.starts_with(&at.to_string()) { 1 } else { 2 };
            assert!((1..=most).contains(&times), "{message:?} came {times} times to gateway {at}");
        }
    }
    let passed = || -> Vec<_> {
        let of = |gateway| {
            counters(gateway)["sent"].as_u64().zip(counters(gateway)["received"].as_u64())
        };
        gateways.iter().map(of).collect()
    };
    let before = passed();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(passed(), before, "nothing moves any more");
}
