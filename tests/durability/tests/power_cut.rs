//! A short run of `cargo xtask power-cut`, and the trap that it must see.

// The shims go before a Linux C library.
#![cfg(target_os = "linux")]

use std::time::Duration;

use portcullis_durability::{How, Kind, Recording, Stage};

/// Each commit is synced in the log, and that keeps the promises: without it the same run loses what was
/// acknowledged, and this harness sees that.
#[test]
fn power_cuts_lose_nothing_and_would_without_the_own_sync() {
    let recording = Recording::make(u64::from(std::process::id()), Duration::from_secs(4));
    let report = recording.cut(150, &How { gateway_every: 50, ..How::default() });
    println!("{report}");
    assert!(recording.promised() > 0, "something was promised");
    assert!(report.faults.is_empty(), "{report}");

    let lost = lost_without_syncs_of("log/", &recording);
    println!("without syncs of the log: {lost} lost");
    assert!(lost > 0, "a log that is not synced must be seen to lose");
}

/// The same for the database. sled's `flush()` ends in `sync_file_range`, which promises nothing; the store's own
/// `sync_data()` does. When the database is up to date files of the log are deleted, so it must not only think so.
#[test]
fn a_database_that_is_not_synced_is_seen_to_lose() {
    let stage = Stage::with_store("log-file-size = \"64 KiB\"\ncheckpoint-after = \"64 KiB\"");
    let seed = u64::from(std::process::id());
    let recording = Recording::on(&stage, seed, Duration::from_secs(4));
    let report = recording.cut(150, &How { gateway_every: 0, ..How::default() });
    println!("{report}");
    assert!(report.faults.is_empty(), "{report}");
    let lost = lost_without_syncs_of("sled/db", &recording);
    println!("without syncs of the database: {lost} lost");
    assert!(lost > 0, "a database that is not synced must be seen to lose");
}

/// What is lost at the first number of cuts that is enough to lose something: where little of a file is rewritten, few
/// moments need its syncs.
fn lost_without_syncs_of(path: &str, recording: &Recording) -> usize {
    let how = How { deaf: vec![path.to_owned()], gateway_every: 0 };
    let lost = |points| recording.cut(points, &how).faults.count(Kind::Lost);
    [60, 240, 960].into_iter().map(lost).find(|lost| *lost > 0).unwrap_or_default()
}
