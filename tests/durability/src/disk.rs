//! A directory as the disk has it: what is synced, and what only the operating system knows.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::record::Record;

/// Which unsynced changes a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// None of them.
    Nothing,
    /// Of each 4 KiB of a file a random state since the last sync; of each folder a random number of
    /// changes, in their order.
    Pages,
    /// The first of them, in their order; of the last write a part.
    Prefix,
    /// All of them: as if only the process had ended.
    Everything,
}

impl Cut {
    pub(crate) const POWER: [Self; 3] = [Self::Nothing, Self::Pages, Self::Prefix];
}

/// Number of a record in its trace.
pub(crate) type Place = usize;

/// A change of a file that is not synced.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write { offset: u64, data: Range<usize> },
    SetLength(u64),
    Zero { offset: u64, length: u64 },
}

/// A change of folders that is not synced. Its parts are done together or not at all.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) place: Place,
    /// Folder, name, and what it is to name.
    pub(crate) parts: Vec<(u64, String, Option<u64>)>,
}

pub(crate) type Folder = BTreeMap<String, u64>;

/// A file: what is synced of it, and the changes since.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) synced: Vec<u8>,
    pub(crate) changes: Vec<(Place, Change)>,
}

/// The disk below one directory.
#[derive(Debug)]
pub(crate) struct Disk<'a> {
    trace: &'a [u8],
    /// Syncs of files whose path contains one of these count as not made.
    deaf: &'a [String],
    pub(crate) root: u64,
    pub(crate) files: HashMap<u64, File>,
    /// The folders as they are synced.
    pub(crate) folders: HashMap<u64, Folder>,
    pub(crate) moves: Vec<Move>,
    /// The folders as processes see them.
    seen: HashMap<u64, Folder>,
    /// Syncs that are under way: where they began.
    syncing: HashMap<u64, (Place, bool)>,
    pub(crate) syncs: u64,
}

impl<'a> Disk<'a> {
    /// An empty directory with this inode.
    pub(crate) fn new(trace: &'a [u8], root: u64, deaf: &'a [String]) -> Self {
        let empty = HashMap::from([(root, Folder::new())]);
        Self {
            trace,
            deaf,
            root,
            files: HashMap::new(),
            folders: empty.clone(),
            moves: Vec::new(),
            seen: empty,
            syncing: HashMap::new(),
            syncs: 0,
        }
    }

    pub(crate) fn trace(&self) -> &'a [u8] {
        self.trace
    }

    /// Does what the record at `place` says.
    pub(crate) fn replay(&mut self, place: Place, record: &Record) {
        match record {
            Record::Write { inode, offset, data } => {
                let data = data.clone();
                self.change(*inode, place, Change::Write { offset: *offset, data });
            }
            Record::SetLength { inode, length } => {
                self.change(*inode, place, Change::SetLength(*length));
            }
            Record::Zero { inode, offset, length } => {
                self.change(*inode, place, Change::Zero { offset: *offset, length: *length });
            }
            Record::NewFile { inode, path } => {
                self.files.insert(*inode, File::default());
                self.relink(place, &[(path, Some(*inode))]);
            }
            Record::NewFolder { inode, path } => {
                self.seen.insert(*inode, Folder::new());
                self.folders.insert(*inode, Folder::new());
                self.relink(place, &[(path, Some(*inode))]);
            }
            Record::Rename { from, to } => {
                let (folder, name) = self.resolve(from);
                let inode = self.seen[&folder].get(&name).copied();
                self.relink(place, &[(from, None), (to, inode)]);
            }
            Record::Remove { path } => self.relink(place, &[(path, None)]),
            Record::SyncBegins { sync, path, .. } => {
                let heard = !self.deaf.iter().any(|part| path.contains(part.as_str()));
                self.syncing.insert(*sync, (place, heard));
            }
            Record::SyncEnded { inode, sync } => {
                if let Some((began, true)) = self.syncing.remove(sync) {
                    self.sync(*inode, began);
                }
            }
            Record::Mark(_) => {}
            Record::Unknown(what) => panic!("the trace does not say everything: {what}"),
        }
    }

    fn change(&mut self, inode: u64, place: Place, change: Change) {
        self.files.entry(inode).or_default().changes.push((place, change));
    }

    fn relink(&mut self, place: Place, changes: &[(&String, Option<u64>)]) {
        let mut parts = Vec::new();
        for (path, inode) in changes {
            let (folder, name) = self.resolve(path);
            let seen = self.seen.entry(folder).or_default();
            match inode {
                Some(inode) => seen.insert(name.clone(), *inode),
                None => seen.remove(&name),
            };
            parts.push((folder, name, *inode));
        }
        self.moves.push(Move { place, parts });
    }

    /// The folder that a path is in, and the name that it has there.
    fn resolve(&self, path: &str) -> (u64, String) {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at = self.root;
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            let found = self.seen.get(&at).and_then(|seen| seen.get(folder));
            at = *found.unwrap_or_else(|| panic!("{path} is in no folder of the trace"));
        }
        (at, name.to_owned())
    }

    /// What was changed before `began` is safe.
    fn sync(&mut self, inode: u64, began: Place) {
        self.syncs += 1;
        if let Some(file) = self.files.get_mut(&inode) {
            let later = file.changes.iter().position(|(place, _)| *place >= began);
            let later = later.unwrap_or(file.changes.len());
            for (_, change) in file.changes.drain(..later) {
                apply(&mut file.synced, &change, self.trace);
            }
        }
        if self.folders.contains_key(&inode) {
            let concerned = |it: &Move| {
                it.place < began && it.parts.iter().any(|(folder, ..)| *folder == inode)
            };
            let (safe, rest) = std::mem::take(&mut self.moves).into_iter().partition(concerned);
            self.moves = rest;
            let safe: Vec<Move> = safe;
            safe.iter().for_each(|it| link(&mut self.folders, it));
        }
    }
}

/// Does a change of folders.
pub(crate) fn link(folders: &mut HashMap<u64, Folder>, change: &Move) {
    for (folder, name, inode) in &change.parts {
        let folder = folders.entry(*folder).or_default();
        match inode {
            Some(inode) => folder.insert(name.clone(), *inode),
            None => folder.remove(name),
        };
    }
}

/// Does a change of a file.
pub(crate) fn apply(bytes: &mut Vec<u8>, change: &Change, trace: &[u8]) {
    match change {
        Change::Write { offset, data } => put(bytes, *offset, &trace[data.clone()]),
        Change::SetLength(length) => bytes.resize(size(*length), 0),
        Change::Zero { offset, length } => {
            let end = size(offset + length).min(bytes.len());
            bytes[size(*offset).min(end)..end].fill(0);
        }
    }
}

/// Writes at an offset; what is skipped is zero.
pub(crate) fn put(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (from, to) = (size(offset), size(offset) + data.len());
    if bytes.len() < to {
        bytes.resize(to, 0);
    }
    bytes[from..to].copy_from_slice(data);
}

fn size(number: u64) -> usize {
    usize::try_from(number).expect("files of a test fit into memory")
}
