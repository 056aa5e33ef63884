use std::{fs, sync::Arc};

use super::harness::{SEGMENT, group, replay};
use crate::{
    RealFiles,
    log::{Log, ReserveState, Settings},
};

#[test]
fn the_operating_systems_files_do_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: SEGMENT, reserve_bytes: 100_000 };
    let open = || Log::open(Arc::new(RealFiles), dir.path(), settings).unwrap();
    let mut log = open();
    assert_eq!(log.reserve_state(), ReserveState::Held);
    assert_eq!(fs::metadata(dir.path().join("reserve")).unwrap().len(), 100_000);
    let (shown, _) = replay(&mut log, None).unwrap();
    assert!(shown.is_empty());
    let mut positions = Vec::new();
    // More segments than are kept open.
    for tag in 0..100 {
        positions.push(log.append(&group(tag, &[300, 1500])).unwrap());
        if tag % 10 == 0 {
            log.sync().unwrap();
        }
    }
    log.sync().unwrap();
    let end = log.end();
    drop(log);
    let newest = fs::read_dir(dir.path().join("log")).unwrap().map(|it| it.unwrap().path()).max();
    let newest = newest.unwrap();
    let newest = fs::OpenOptions::new().write(true).open(&newest).unwrap();
    newest.set_len(u64::from(end.offset) - 1).unwrap();
    let mut log = open();
    let (shown, replayed) = replay(&mut log, None).unwrap();
    assert_eq!(shown.len(), 99);
    assert!(replayed.holes.is_empty() && replayed.torn_bytes > 0);
    for (tag, position) in positions.iter().enumerate().take(99) {
        assert_eq!(log.read(*position).unwrap(), (0, vec![tag as u8; 300]));
    }
    let bytes: u64 = log.segments().map(|(_, bytes)| bytes).sum();
    let on_disk = fs::read_dir(dir.path().join("log")).unwrap();
    assert_eq!(bytes, on_disk.map(|it| it.unwrap().metadata().unwrap().len()).sum::<u64>());
    log.append(&group(1, &[1])).unwrap();
    let old: Vec<u32> = log.segments().map(|(segment, _)| segment).collect();
    for segment in old {
        log.remove(segment).unwrap();
    }
    assert_eq!(log.segments().count(), 1);
    assert!(log.file_bytes() < 101_000);
}
