use std::{path::Path, sync::Arc};

use crate::{
    SimulatedFiles, StoreError,
    log::{GroupBuilder, Log, Position, Replayed, Settings},
};

/// Where simulated stores are.
pub(super) const DIR: &str = "store";
pub(super) const SEGMENT: u64 = 1024;
pub(super) const SMALL: Settings = Settings { segment_bytes: SEGMENT, reserve_bytes: 0 };

/// A record that was shown.
pub(super) type Shown = (Position, u8, Vec<u8>);

/// A group that was shown: its number and its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) number: u64,
    pub(super) records: Vec<Shown>,
}

impl Group {
    /// Kinds and bytes, wherever they are.
    pub(super) fn contents(&self) -> Vec<(u8, Vec<u8>)> {
        self.records.iter().map(|(_, kind, bytes)| (*kind, bytes.clone())).collect()
    }
}

/// An open log and what it showed when it was opened.
pub(super) struct Opened {
    pub(super) log: Log,
    pub(super) groups: Vec<Group>,
    pub(super) replayed: Replayed,
}

impl Opened {
    pub(super) fn contents(&self) -> Vec<Vec<(u8, Vec<u8>)>> {
        self.groups.iter().map(Group::contents).collect()
    }
}

pub(super) fn open(files: &SimulatedFiles) -> Opened {
    try_open(files, SMALL, None).unwrap()
}

pub(super) fn try_open(
    files: &SimulatedFiles,
    settings: Settings,
    from: Option<Position>,
) -> Result<Opened, StoreError> {
    let mut log = Log::open(Arc::new(files.clone()), Path::new(DIR), settings)?;
    let (groups, replayed) = replay(&mut log, from)?;
    Ok(Opened { log, groups, replayed })
}

/// Replays, and holds the log to what it says of groups.
pub(super) fn replay(
    log: &mut Log,
    from: Option<Position>,
) -> Result<(Vec<Group>, Replayed), StoreError> {
    let mut groups: Vec<Group> = Vec::new();
    let mut open = false;
    let replayed = log.replay(from, &mut |record| {
        if !open {
            assert_eq!(record.position, record.base, "the first record is the base");
            groups.push(Group { number: record.group, records: Vec::new() });
        }
        let group = groups.last_mut().unwrap();
        assert_eq!(group.number, record.group, "a group's records come together");
        group.records.push((record.position, record.kind, record.bytes.to_vec()));
        open = !record.last;
    })?;
    assert!(!open, "a group's last record is marked");
    assert!(groups.windows(2).all(|pair| pair[0].number < pair[1].number), "in order");
    assert_eq!(replayed.groups, groups.len() as u64);
    Ok((groups, replayed))
}

/// A group of records of so many bytes each, all of them telling `tag`.
pub(super) fn group(tag: u8, lengths: &[usize]) -> GroupBuilder {
    let mut group = GroupBuilder::new();
    for (at, len) in lengths.iter().enumerate() {
        group.push(at as u8, |bytes| bytes.resize(bytes.len() + len, tag));
    }
    group
}

pub(super) fn contents(tag: u8, lengths: &[usize]) -> Vec<(u8, Vec<u8>)> {
    lengths.iter().enumerate().map(|(at, len)| (at as u8, vec![tag; *len])).collect()
}
