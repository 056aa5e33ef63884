//! Short runs of `cargo xtask torture`.

#![allow(clippy::print_stdout, reason = "figures are for people to read")]

use std::time::Duration;

use mqtt::QoS;
use portcullis_torture::{Bridge, Torture};

fn run(qos: QoS, cuts: u64, seed: u64) {
    let interval = Duration::from_millis(20);
    let report =
        Torture { cuts, devices: 10, qos, interval, seed, bridge: Bridge::Portcullis }.run();
    println!("{report}");
    assert!(report.acknowledged > 100, "{report}");
    assert!(report.arrived >= report.acknowledged, "{report}");
    assert!(report.is_faultless(), "{report}");
}

#[test]
fn whatever_is_cut_what_was_acknowledged_arrives_in_order() {
    run(QoS::AtLeastOnce, 12, 7);
}

#[test]
fn whatever_is_cut_what_is_exactly_once_arrives_once() {
    run(QoS::ExactlyOnce, 10, 3);
}
