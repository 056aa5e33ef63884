//! Whatever happens to the files, opening and reading go well and nothing wrong is shown.

use std::path::PathBuf;

use proptest::prelude::*;

use super::harness::{Group, group, open};
use crate::{
    Cut, SimulatedFiles,
    log::{GroupBuilder, group::Place, header::Salt},
};

/// A log of some segments, each group synced before the next; and what is in it.
fn sound() -> (SimulatedFiles, Vec<Group>) {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    for tag in 1..=14 {
        log.append(&group(tag, &[40, 0, 60 + usize::from(tag)])).unwrap();
        log.sync().unwrap();
        if tag == 5 {
            log = open(&files).log;
        }
    }
    let groups = open(&files).groups;
    assert_eq!(groups.len(), 14);
    (files.cut(0, Cut::Process), groups)
}

fn segments(files: &SimulatedFiles) -> Vec<PathBuf> {
    files.paths().into_iter().filter(|path| path.extension().is_some()).collect()
}

/// Opens what is left; returns how many groups are.
fn survivors(files: &SimulatedFiles, groups: &[Group]) -> usize {
    let mut opened = open(files);
    for shown in &opened.groups {
        assert!(groups.contains(shown), "what is shown was appended: {shown:?}");
    }
    let replayed = &opened.replayed;
    if opened.groups.len() < groups.len() {
        let last = groups.last().unwrap();
        let end_is_gone = !opened.groups.contains(last);
        // Segments that are gone at the beginning may have been removed.
        let begins_late = segments(files)[0].ends_with("00000002.seg");
        let told = !replayed.holes.is_empty();
        assert!(end_is_gone || begins_late || told, "a loss in the middle is told");
    } else {
        assert!(replayed.holes.is_empty());
    }
    for (position, kind, bytes) in groups.iter().flat_map(|group| &group.records) {
        if let Ok(read) = opened.log.read(*position) {
            assert_eq!(read, (*kind, bytes.clone()));
        }
    }
    // It goes on, and what was shown is shown again.
    opened.log.append(&group(99, &[30])).unwrap();
    opened.log.sync().unwrap();
    let again = open(&files.cut(0, Cut::Drop)).groups;
    assert_eq!(again[..again.len() - 1], opened.groups);
    assert_eq!(again.last().unwrap().contents(), [(0, vec![99; 30])]);
    opened.groups.len()
}

#[test]
fn one_wrong_byte_costs_one_group() {
    let (files, groups) = sound();
    for path in segments(&files) {
        let bytes = files.contents(&path).unwrap();
        for at in 0..bytes.len() {
            for wrong in [bytes[at] ^ 1, bytes[at] ^ 0x80, 0, 0xFF] {
                if wrong == bytes[at] {
                    continue;
                }
                let damaged = files.cut(0, Cut::Process);
                let mut bytes = bytes.clone();
                bytes[at] = wrong;
                damaged.put(&path, &bytes);
                let left = survivors(&damaged, &groups);
                let expected = if at < 32 { groups.len() } else { groups.len() - 1 };
                assert_eq!(left, expected, "byte {at} of {}", path.display());
            }
        }
    }
}

#[test]
fn a_segment_may_end_anywhere() {
    let (files, groups) = sound();
    for path in segments(&files) {
        let bytes = files.contents(&path).unwrap();
        for len in 0..bytes.len() {
            let damaged = files.cut(0, Cut::Process);
            damaged.put(&path, &bytes[..len]);
            survivors(&damaged, &groups);
        }
    }
}

#[test]
fn segments_may_vanish_or_change_places() {
    let (files, groups) = sound();
    let paths = segments(&files);
    assert!(paths.len() >= 3, "{paths:?}");
    for (first, second) in paths.iter().flat_map(|path| paths.iter().map(move |it| (path, it))) {
        let damaged = files.cut(0, Cut::Process);
        damaged.put(first, &files.contents(second).unwrap());
        if first != second {
            assert!(survivors(&damaged, &groups) < groups.len());
        }
        let damaged = files.cut(0, Cut::Process);
        crate::Files::remove(&damaged, first).unwrap();
        let left = survivors(&damaged, &groups);
        assert!((3..groups.len()).contains(&left), "{left}");
    }
}

#[test]
fn a_bad_block_costs_the_groups_in_it() {
    let (files, groups) = sound();
    for path in segments(&files) {
        let bytes = files.contents(&path).unwrap();
        for at in 0..bytes.len() {
            let damaged = files.cut(0, Cut::Process);
            let mut bytes = bytes.clone();
            let end = bytes.len().min(at + 100);
            bytes[at..end].fill(0);
            damaged.put(&path, &bytes);
            let left = survivors(&damaged, &groups);
            assert!(left >= groups.len() - 3, "{left} after byte {at} of {}", path.display());
        }
    }
}

#[test]
fn a_payload_that_looks_like_a_group_is_none() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    // As a client would build it that knows everything but the salt.
    let mut forged = Vec::new();
    let payload = group(66, &[10]);
    for offset in 0..300 {
        let place = Place { salt: Salt::new(0, 1), offset, number: 5, unsynced: 0 };
        payload.seal(place, &mut forged);
    }
    log.append(&group(1, &[5])).unwrap();
    let mut carrier = GroupBuilder::new();
    carrier.push(1, |bytes| bytes.extend_from_slice(&forged));
    let at = log.append(&carrier).unwrap();
    log.append(&group(3, &[5])).unwrap();
    log.sync().unwrap();
    log.append(&group(4, &[5])).unwrap();
    log.sync().unwrap();
    let path = segments(&files).into_iter().nth(at.segment as usize - 1).unwrap();
    let mut bytes = files.contents(&path).unwrap();
    bytes[at.offset as usize] ^= 1;
    files.put(&path, &bytes);
    let shown: Vec<u64> = open(&files).groups.iter().map(|group| group.number).collect();
    assert_eq!(shown, [1, 3, 4]);
}

#[test]
fn two_writes_to_one_place_are_not_taken_for_one_group() {
    let files = SimulatedFiles::new();
    let mut log = open(&files).log;
    log.sync().unwrap();
    let at = log.append(&group(1, &[100, 100])).unwrap();
    let path = segments(&files)[0].clone();
    let one = files.contents(&path).unwrap();
    let other = SimulatedFiles::new();
    let mut log = open(&other).log;
    assert_eq!(log.append(&group(2, &[100, 100])).unwrap(), at);
    let two = other.contents(&path).unwrap();
    assert_eq!(one.len(), two.len());
    // Head and first record of one, second record of the other; the secret is the same.
    let middle = at.offset as usize + 109;
    let mixed = [&one[..middle], &two[middle..]].concat();
    files.put(&path, &mixed);
    assert!(open(&files).groups.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2 * ProptestConfig::default().cases))]

    #[test]
    fn any_number_of_wrong_bytes_shows_nothing_wrong(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(),
            any::<u8>(), 1..200_usize), 1..8)
    ) {
        let (files, groups) = sound();
        let paths = segments(&files);
        for (path, at, byte, len) in damage {
            let path = path.get(&paths);
            let mut bytes = files.contents(path).unwrap();
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + len);
            bytes[at..end].fill(byte);
            files.put(path, &bytes);
        }
        let opened = open(&files);
        for shown in &opened.groups {
            prop_assert!(groups.contains(shown));
        }
    }
}
