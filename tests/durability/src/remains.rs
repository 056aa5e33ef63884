//! What a power cut leaves of a directory.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use crate::disk::{Change, Cut, Disk, File, Folder, Place, apply, link, put};
use crate::random::Random;

/// Bytes that a disk is given together.
const PAGE: u64 = 4096;
/// Bytes that a disk writes together.
const SECTOR: u64 = 512;

/// Files by path, and folders, which have no content.
pub(crate) type Remains = BTreeMap<String, Option<Vec<u8>>>;

/// The directory as it is after a cut.
pub(crate) fn remains(disk: &Disk<'_>, cut: Cut, random: &mut Random) -> Remains {
    let last = last_place(disk, cut, random);
    let folders = folders(disk, cut, last, random);
    let mut remains = Remains::new();
    let mut open = vec![(String::new(), disk.root)];
    while let Some((path, folder)) = open.pop() {
        for (name, inode) in folders.get(&folder).into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            if folders.contains_key(inode) {
                remains.insert(path.clone(), None);
                open.push((path, *inode));
            } else if let Some(file) = disk.files.get(inode) {
                remains.insert(path, Some(content(file, disk.trace(), cut, last, random)));
            }
        }
    }
    remains
}

/// Writes it to an empty folder.
pub(crate) fn write(remains: &Remains, to: &Path) {
    for (path, content) in remains {
        let path = to.join(path);
        match content {
            Some(bytes) => fs::write(&path, bytes),
            None => fs::create_dir(&path),
        }
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// The last change that a prefix has; none is after it.
fn last_place(disk: &Disk<'_>, cut: Cut, random: &mut Random) -> Place {
    if cut != Cut::Prefix {
        return Place::MAX;
    }
    let writes = disk.files.values().flat_map(|file| file.changes.iter().map(|it| it.0));
    let mut places: Vec<Place> = writes.chain(disk.moves.iter().map(|it| it.place)).collect();
    places.sort_unstable();
    let chosen = usize::try_from(random.below(places.len() as u64 + 1)).unwrap_or_default();
    places.get(chosen).copied().unwrap_or(Place::MAX)
}

fn folders(disk: &Disk<'_>, cut: Cut, last: Place, random: &mut Random) -> HashMap<u64, Folder> {
    let mut folders = disk.folders.clone();
    // Of each folder, whether a change of it was left out: then none that comes later is there.
    let mut ended: HashMap<u64, bool> = HashMap::new();
    for change in &disk.moves {
        let kept = match cut {
            Cut::Nothing => false,
            Cut::Everything => true,
            Cut::Prefix => change.place <= last,
            Cut::Pages => {
                let stop = random.chance(300);
                let concerned = change.parts.iter().map(|(folder, ..)| *folder);
                let any = concerned.clone().any(|it| ended.get(&it).copied().unwrap_or(false));
                concerned.for_each(|it| {
                    ended.insert(it, stop || any);
                });
                !stop && !any
            }
        };
        if kept {
            link(&mut folders, change);
        }
    }
    folders
}

fn content(file: &File, trace: &[u8], cut: Cut, last: Place, random: &mut Random) -> Vec<u8> {
    let mut bytes = file.synced.clone();
    match cut {
        Cut::Nothing => {}
        Cut::Everything => file.changes.iter().for_each(|(_, it)| apply(&mut bytes, it, trace)),
        Cut::Prefix => {
            for (place, change) in file.changes.iter().filter(|(place, _)| *place <= last) {
                match change {
                    Change::Write { offset, data } if *place == last => {
                        let sectors = (data.len() as u64).div_ceil(SECTOR);
                        let kept = (random.below(sectors + 1) * SECTOR).min(data.len() as u64);
                        let kept = usize::try_from(kept).unwrap_or_default();
                        put(&mut bytes, *offset, &trace[data.start..data.start + kept]);
                    }
                    change => apply(&mut bytes, change, trace),
                }
            }
        }
        Cut::Pages => pages(&mut bytes, file, trace, random),
    }
    bytes
}

/// Each page is as it was after some of the writes that it had since the sync, the first so many; half of
/// them are as they were synced.
fn pages(bytes: &mut Vec<u8>, file: &File, trace: &[u8], random: &mut Random) {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for (_, change) in &file.changes {
        if let Change::Write { offset, data } = change {
            for page in pages_of(*offset, data.len()) {
                *counts.entry(page).or_default() += 1;
            }
        }
    }
    let mut left: BTreeMap<u64, u64> = BTreeMap::new();
    for (page, count) in counts {
        let kept = if random.chance(500) { 0 } else { random.between(1, count) };
        left.insert(page, kept);
    }
    for (_, change) in &file.changes {
        let Change::Write { offset, data } = change else {
            if random.chance(500) {
                apply(bytes, change, trace);
            }
            continue;
        };
        for page in pages_of(*offset, data.len()) {
            let Some(kept @ 1..) = left.get_mut(&page) else { continue };
            *kept -= 1;
            let end = offset + data.len() as u64;
            let (from, to) = ((page * PAGE).max(*offset), ((page + 1) * PAGE).min(end));
            let at = |place: u64| data.start + usize::try_from(place - offset).unwrap_or_default();
            put(bytes, from, &trace[at(from)..at(to)]);
        }
    }
}

fn pages_of(offset: u64, len: usize) -> std::ops::Range<u64> {
    offset / PAGE..(offset + len as u64).div_ceil(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    const ROOT: u64 = 1;
    const FILE: u64 = 2;

    /// A file with a synced name, `synced` at its front synced, and one write behind it that is not.
    fn disk(trace: &[u8]) -> Disk<'_> {
        let mut disk = Disk::new(trace, ROOT, &[]);
        let records = [
            Record::NewFile { inode: FILE, path: "db".to_owned() },
            Record::Write { inode: FILE, offset: 0, data: 0..4 },
            Record::SyncBegins { inode: FILE, sync: 1, path: "db".to_owned() },
            Record::Write { inode: FILE, offset: 4, data: 4..8 },
            Record::SyncEnded { inode: FILE, sync: 1 },
            Record::SyncBegins { inode: ROOT, sync: 2, path: String::new() },
            Record::SyncEnded { inode: ROOT, sync: 2 },
        ];
        for (place, record) in records.iter().enumerate() {
            disk.replay(place, record);
        }
        disk
    }

    #[test]
    fn what_was_written_while_a_sync_ran_is_not_synced() {
        let disk = disk(b"safegone");
        let left = |cut| remains(&disk, cut, &mut Random::new(1)).remove("db").flatten();
        assert_eq!(left(Cut::Nothing), Some(b"safe".to_vec()));
        assert_eq!(left(Cut::Everything), Some(b"safegone".to_vec()));
    }

    #[test]
    fn a_name_that_was_not_synced_is_gone() {
        let mut disk = disk(b"safegone");
        disk.replay(7, &Record::Rename { from: "db".to_owned(), to: "other".to_owned() });
        let names = |cut| remains(&disk, cut, &mut Random::new(1)).into_keys().collect::<Vec<_>>();
        assert_eq!(names(Cut::Nothing), ["db"]);
        assert_eq!(names(Cut::Everything), ["other"]);
    }

    #[test]
    fn what_is_deaf_to_syncs_has_nothing() {
        let deaf = ["db".to_owned()];
        let mut disk = Disk::new(b"gone", ROOT, &deaf);
        disk.replay(0, &Record::NewFile { inode: FILE, path: "db".to_owned() });
        disk.replay(1, &Record::Write { inode: FILE, offset: 0, data: 0..4 });
        disk.replay(2, &Record::SyncBegins { inode: FILE, sync: 1, path: "sled/db".to_owned() });
        disk.replay(3, &Record::SyncEnded { inode: FILE, sync: 1 });
        assert_eq!(disk.files[&FILE].synced, b"");
    }

    #[test]
    fn pages_of_a_random_cut_are_states_that_the_file_had() {
        let trace = [[1_u8; 4096], [2; 4096]].concat();
        let mut disk = Disk::new(&trace, ROOT, &[]);
        disk.replay(0, &Record::NewFile { inode: FILE, path: "db".to_owned() });
        disk.replay(1, &Record::Write { inode: FILE, offset: 0, data: 0..4096 });
        disk.replay(2, &Record::Write { inode: FILE, offset: 100, data: 4096..8192 });
        for seed in 0..50 {
            let mut bytes = Vec::new();
            pages(&mut bytes, &disk.files[&FILE], &trace, &mut Random::new(seed));
            let first = bytes.get(..4096).unwrap_or_default();
            let has_second = first.last() == Some(&2);
            assert!(!has_second || first[..100] == [1; 100], "the second write, not the first");
        }
    }
}
