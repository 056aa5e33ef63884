//! A short run of `cargo xtask torture`.

use std::time::Duration;

use portcullis_torture::{Bridge, Torture};

#[test]
fn whatever_is_cut_what_was_acknowledged_arrives_in_order() {
    let report = Torture {
        cuts: 12,
        devices: 10,
        interval: Duration::from_millis(20),
        seed: 7,
        bridge: Bridge::Portcullis,
    }
    .run();
    println!("{report}");
    assert!(report.acknowledged > 100, "{report}");
    assert!(report.arrived >= report.acknowledged, "{report}");
    assert!(report.is_faultless(), "{report}");
}
