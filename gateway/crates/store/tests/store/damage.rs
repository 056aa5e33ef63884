//! Damage is survived and said, whatever was hit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use broker::durable::Urgency;
use portcullis_store::{Incident, Store};

use crate::harness::{
    Contents, disk, load, message, put, put_received, put_retained, put_session, remove,
};

const MESSAGES: u64 = 2_000;

/// A used store: every other message was delivered and removed again.
fn used_store(dir: &Path) -> Contents {
    fill(dir).close();
    load(dir).0
}

fn fill(dir: &Path) -> impl Store + use<> {
    let mut store = disk(dir);
    store.load().unwrap();
    let first = [put_session(1), put_received(1, 3), put_retained("r", 100)];
    store.commit(&first, Urgency::Now).unwrap();
    for first in (1..=MESSAGES).step_by(20) {
        let body = message("plant/line/7", 512);
        let numbers = first..first + 20;
        let put = numbers.clone().map(|n| put(1, n, n, &body));
        store.commit(&put.collect::<Vec<_>>(), Urgency::Now).unwrap();
        let gone = numbers.filter(|n| n % 2 == 0).map(|n| remove(1, n));
        store.commit(&gone.collect::<Vec<_>>(), Urgency::Now).unwrap();
        store.maintain().unwrap();
    }
    store
}

struct Case {
    name: String,
    /// Where in `db`, or which whole-file change.
    change: Change,
}

enum Change {
    Truncate(u64),
    Zero(u64),
    Flip(u64),
}

/// Damages the database file in many ways; each time the store opens, gives back
/// nothing that was not there, and works on.
#[test]
fn a_damaged_file_never_stops_the_start() {
    let stopped = tempfile::tempdir().unwrap();
    let before = used_store(stopped.path());
    survives_damage(stopped.path(), &before);
}

/// As above, for the files as `kill -9` leaves them.
#[test]
fn a_damaged_file_of_a_killed_store_never_stops_the_start() {
    let running = tempfile::tempdir().unwrap();
    let store = fill(running.path());
    let killed = tempfile::tempdir().unwrap();
    copy_dir(running.path(), killed.path());
    drop(store);
    let intact = tempfile::tempdir().unwrap();
    copy_dir(killed.path(), intact.path());
    let (before, loaded) = load(intact.path());
    assert!(loaded.is_clean(), "{:?}", loaded.incidents);
    survives_damage(killed.path(), &before);
}

fn survives_damage(origin: &Path, before: &Contents) {
    for file in damageable(origin) {
        survives_damage_of(&file, origin, before);
    }
}

/// The database and, of the files of the log, the first, the last and one between.
fn damageable(origin: &Path) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("sled/db")];
    let log = fs::read_dir(origin.join("log")).unwrap();
    let mut log: Vec<PathBuf> =
        log.map(|entry| Path::new("log").join(entry.unwrap().file_name())).collect();
    log.sort();
    let last = log.len() - 1;
    files.extend([0, last / 2, last].into_iter().map(|at| log[at].clone()));
    files.dedup();
    files
}

fn survives_damage_of(file: &Path, origin: &Path, before: &Contents) {
    let len = fs::metadata(origin.join(file)).unwrap().len();
    let mut cases = Vec::new();
    for n in 0..30_u64 {
        let at = (n * 7_919 * 977) % len;
        cases.push(Case { name: format!("flip at {at}"), change: Change::Flip(at) });
    }
    for n in 0..12 {
        let at = (len / 12 * n) & !4095;
        cases.push(Case { name: format!("zero 4 KiB at {at}"), change: Change::Zero(at) });
    }
    for n in 0..8 {
        let to = len / 8 * n + n;
        cases.push(Case { name: format!("truncate to {to}"), change: Change::Truncate(to) });
    }
    let mut silent = Vec::new();
    for case in &cases {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin, dir.path());
        apply(&case.change, &dir.path().join(file));
        let (contents, loaded) = load(dir.path());
        assert_nothing_invented(before, &contents, &case.name);
        let lost = before.entries().saturating_sub(contents.entries());
        println!(
            "{} {}: lost {lost}, clean {}, {:?} {:?}",
            file.display(),
            case.name,
            loaded.is_clean(),
            loaded.incidents,
            loaded.dropped
        );
        // A message whose place is damaged is found so when it is read.
        let told = contents.queues.values().flatten().any(|entry| entry.body.is_none());
        if contents != *before && loaded.is_clean() && !told {
            silent.push(format!("{}: {lost}", case.name));
        }
        assert_works_on(dir.path(), &case.name);
    }
    assert_eq!(silent, Vec::<String>::new(), "losses nobody is told of");
}

fn assert_nothing_invented(before: &Contents, now: &Contents, case: &str) {
    for entry in now.queues.values().flatten().filter(|entry| entry.body.is_some()) {
        assert_eq!(entry.body, Some(message("plant/line/7", 512)), "{case}: {entry:?}");
    }
    for session in &now.snapshot.sessions {
        assert_eq!(session.record, before.snapshot.sessions[0].record, "{case}");
    }
}

fn assert_works_on(dir: &Path, case: &str) {
    let mut store = disk(dir);
    store.load().unwrap();
    let ops = [put_session(9), put(9, 1, MESSAGES + 1, &message("t", 5))];
    store.commit(&ops, Urgency::Now).unwrap();
    store.maintain().unwrap();
    drop(store);
    let (contents, loaded) = load(dir);
    assert!(loaded.is_clean(), "{case}: {:?} {:?}", loaded.incidents, loaded.dropped);
    assert_eq!(contents.queue(9).len(), 1, "{case}");
    assert_eq!(contents.queue(9)[0].body, Some(message("t", 5)), "{case}");
}

fn apply(change: &Change, path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let index = |at: u64| usize::try_from(at).unwrap();
    match *change {
        Change::Truncate(to) => bytes.truncate(index(to)),
        Change::Zero(at) => bytes[index(at)..].iter_mut().take(4096).for_each(|byte| *byte = 0),
        Change::Flip(at) => bytes[index(at)] ^= 0x10,
    }
    fs::write(path, bytes).unwrap();
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn damaged_engine_settings_lose_nothing() {
    let origin = tempfile::tempdir().unwrap();
    let before = used_store(origin.path());
    let conf = fs::read(origin.path().join("sled/conf")).unwrap();
    let flipped = conf.iter().map(|byte| byte ^ 0x41).collect();
    let cut = conf[..conf.len() - 5].to_vec();
    for content in [Vec::new(), vec![0; 4096], flipped, cut] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        fs::write(dir.path().join("sled/conf"), content).unwrap();
        let (contents, loaded) = load(dir.path());
        assert_eq!(contents, before);
        let set_aside = |incident: &Incident| matches!(incident, Incident::SetAside { .. });
        assert!(!loaded.incidents.iter().any(set_aside), "{:?}", loaded.incidents);
    }
}

#[test]
fn something_else_in_place_of_the_database_is_set_aside() {
    let origin = tempfile::tempdir().unwrap();
    let before = used_store(origin.path());
    for content in [Vec::new(), vec![0; 3 << 20], vec![0xA5; 3 << 20]] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        let files = fs::read_dir(dir.path().join("sled")).unwrap();
        for path in files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            fs::write(path, &content).unwrap();
        }
        let (contents, loaded) = load(dir.path());
        assert_nothing_invented(&before, &contents, "replaced");
        assert!(!loaded.is_clean());
        assert_eq!(aside(dir.path()).len(), 1, "{:?}", loaded.incidents);
        assert_works_on(dir.path(), "replaced");
    }
}

fn aside(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("damaged-")).collect()
}

/// The renames of a copy may be interrupted between any two.
#[test]
fn an_interrupted_copy_is_finished_or_forgotten() {
    let origin = tempfile::tempdir().unwrap();
    let before = used_store(origin.path());
    let renamed = tempfile::tempdir().unwrap();
    copy_dir(origin.path(), renamed.path());
    fs::rename(renamed.path().join("sled"), renamed.path().join("sled.new")).unwrap();
    assert_eq!(load(renamed.path()).0, before);
    for leftover in ["sled.new", "sled.old"] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        fs::create_dir(dir.path().join(leftover)).unwrap();
        fs::write(dir.path().join(leftover).join("db"), b"half").unwrap();
        assert_eq!(load(dir.path()).0, before, "{leftover}");
        assert!(!dir.path().join(leftover).exists());
    }
}
