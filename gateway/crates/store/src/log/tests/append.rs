use super::harness::{DIR, SEGMENT, SMALL, contents, group, open, replay, try_open};
use crate::{
    Cut, Failure, Operation, SimulatedFiles,
    log::{GroupBuilder, Log, Position, ReadError, Settings},
};
use std::{path::Path, sync::Arc};

#[test]
fn what_is_appended_is_read_and_shown_again() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    let mut builder = GroupBuilder::new();
    let first = builder.push(7, |bytes| bytes.extend_from_slice(b"one"));
    let second = builder.push(8, |bytes| bytes.extend_from_slice(b""));
    let base = log.prepare(&builder).unwrap();
    assert_eq!(log.append(&builder).unwrap(), base);
    assert_eq!(log.read(base.at(first)).unwrap(), (7, b"one".to_vec()));
    assert_eq!(log.read(base.at(second)).unwrap(), (8, Vec::new()));
    log.sync().unwrap();
    assert_eq!(log.syncs(), 3, "names once while opening, then the segment and its name");
    drop(log);
    let mut opened = open(&files);
    let shown = vec![(base.at(first), 7, b"one".to_vec()), (base.at(second), 8, Vec::new())];
    assert_eq!(opened.groups[0].records, shown);
    assert!(opened.replayed.holes.is_empty());
    assert_eq!(opened.log.next_group(), 2);
    assert_eq!(opened.log.read(base.at(first)).unwrap(), (7, b"one".to_vec()));
}

#[test]
fn groups_go_on_in_further_segments_and_long_ones_have_their_own() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    let lengths = [100, 100, 3000, 100, 900, 900, 10];
    let mut positions = Vec::new();
    for (tag, len) in lengths.into_iter().enumerate() {
        positions.push(log.append(&group(tag as u8, &[len, 1])).unwrap());
    }
    let segments: Vec<_> = log.segments().collect();
    assert_eq!(segments.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(segments.iter().all(|(number, bytes)| *bytes <= SEGMENT || *number == 2));
    let expected: Vec<_> =
        lengths.iter().enumerate().map(|(tag, len)| contents(tag as u8, &[*len, 1])).collect();
    log.sync().unwrap();
    assert_eq!(open(&files.cut(1, Cut::Drop)).contents(), expected);
    for (tag, position) in positions.iter().enumerate() {
        assert_eq!(log.read(*position).unwrap(), (0, vec![tag as u8; lengths[tag]]));
    }
    // The log can also be read while it is written.
    let (groups, _) = replay(&mut log, None).unwrap();
    assert_eq!(groups.len(), expected.len());
    log.append(&group(9, &[5])).unwrap();
    assert_eq!(open(&files).groups.len(), expected.len() + 1);
}

#[test]
fn replay_begins_where_it_is_told() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    let mut ends = vec![log.end()];
    for tag in 0..20 {
        log.append(&group(tag, &[200])).unwrap();
        ends.push(log.end());
    }
    log.sync().unwrap();
    drop(log);
    for (skipped, from) in ends.iter().enumerate() {
        let opened = try_open(&files, SMALL, Some(*from)).unwrap();
        assert_eq!(opened.groups.len(), 20 - skipped, "from {from:?}");
        assert!(opened.replayed.holes.is_empty());
        assert_eq!(opened.log.next_group(), 21);
    }
}

#[test]
fn a_removed_segment_is_gone_and_the_newest_stays() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    let first = log.append(&group(0, &[700])).unwrap();
    log.append(&group(1, &[700])).unwrap();
    let end = log.end();
    assert!(log.read(first).is_ok());
    assert!(log.remove(1).unwrap());
    assert!(!log.remove(2).unwrap(), "it is appended to");
    assert!(matches!(log.read(first), Err(ReadError::Damage)));
    // What outlives the power cut goes on with numbers and segments.
    let opened = try_open(&files.cut(0, Cut::Drop), SMALL, Some(end)).unwrap();
    assert_eq!(opened.log.next_group(), 3);
    assert_eq!(opened.log.end(), Position { segment: 3, offset: 32 });
    assert!(opened.groups.is_empty() && opened.replayed.holes.is_empty());
}

#[test]
fn a_log_that_vanished_begins_behind_where_it_was() {
    let from = Position { segment: 7, offset: 500 };
    let mut opened = try_open(&SimulatedFiles::new(), SMALL, Some(from)).unwrap();
    assert!(opened.log.append(&group(1, &[1])).unwrap() > from);
}

#[test]
fn nothing_is_appended_to_a_log_that_was_not_read() {
    let files = Arc::new(SimulatedFiles::new());
    let mut log = Log::open(files, Path::new(DIR), SMALL).unwrap();
    assert!(log.append(&group(1, &[1])).is_err());
}

#[test]
fn unsynced_bytes_are_bounded() {
    let files = SimulatedFiles::new();
    let settings = Settings { segment_bytes: 64 << 20, reserve_bytes: 0 };
    let mut log = try_open(&files, settings, None).unwrap().log;
    for tag in 0..20 {
        log.append(&group(tag, &[1 << 20])).unwrap();
    }
    assert!(log.syncs() >= 4);
    let survivors = try_open(&files.cut(0, Cut::Drop), settings, None).unwrap().groups.len();
    assert!(survivors >= 16, "{survivors}");
}

#[test]
fn a_record_that_is_not_there_is_not_read() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    let base = log.append(&group(0, &[50, 50])).unwrap();
    let right = [base.offset, base.offset + 59];
    for offset in 0..300 {
        let read = log.read(Position { segment: base.segment, offset });
        assert_eq!(read.is_ok(), right.contains(&offset), "at {offset}");
    }
    assert!(matches!(log.read(Position { segment: 9, offset: 0 }), Err(ReadError::Damage)));
    files.fail(Failure::once(Operation::Read, 5));
    assert!(matches!(log.read(base), Err(ReadError::Io(_))));
    assert!(log.read(base).is_ok());
}
