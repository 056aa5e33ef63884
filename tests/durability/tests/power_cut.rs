//! A short run of `cargo xtask power-cut`, and the trap that it must see.

use std::time::Duration;

use portcullis_durability::{How, Kind, Recording};

/// sled's `flush()` ends in `sync_file_range`, which promises nothing. The store's own `sync_data()` is what
/// keeps its promises: without it the same run loses what was acknowledged, and this harness sees that.
#[test]
fn power_cuts_lose_nothing_and_would_without_the_own_sync() {
    let recording = Recording::make(u64::from(std::process::id()), Duration::from_secs(4));
    let report = recording.cut(150, &How { gateway_every: 50, ..How::default() });
    println!("{report}");
    assert!(recording.promised() > 0, "something was promised");
    assert!(report.faults.is_empty(), "{report}");

    let deaf = How { deaf: vec!["sled/db".to_owned(), "log/".to_owned()], ..How::default() };
    let deaf = recording.cut(60, &deaf);
    let lost = deaf.faults.count(Kind::Lost);
    println!("without the store's own sync: {lost} lost");
    assert!(lost > 0, "a store that does not sync must be seen to lose");
}
