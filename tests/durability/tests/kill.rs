//! A short run of `cargo xtask kill`.

use portcullis_durability::Kills;

#[test]
fn nothing_promised_is_lost_by_kills() {
    let report = Kills { cycles: 12, seed: u64::from(std::process::id()) }.run();
    println!("{report}");
    assert!(report.promised() > 0, "something was promised");
    assert!(report.faults.is_empty(), "{report}");
}
