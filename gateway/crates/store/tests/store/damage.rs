//! Damage is survived and said, whatever was hit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use broker::durable::{Op, Snapshot};
use mqtt::QoS;
use portcullis_store::{Incident, Kind, Loaded, MemoryStore, Store};

use crate::harness::{
    load, message, put_delivery, put_message, put_received, put_retained, put_session,
    put_subscription, remove_delivery, remove_message, sled,
};

fn one_of_everything() -> Vec<Op> {
    vec![
        put_session(1),
        put_subscription(1, "a/+", QoS::AtLeastOnce),
        put_message(5, "a/b", 9_000),
        put_delivery(1, 9, 5, false),
        put_received(1, 77),
        put_retained("a/b", 3),
    ]
}

/// Flips each byte of every stored value in turn.
#[test]
fn every_damaged_byte_is_found_and_costs_only_its_record() {
    let mut intact = MemoryStore::new();
    intact.load().unwrap();
    intact.commit(&one_of_everything()).unwrap();
    let whole = intact.restarted().load().unwrap();
    for index in 0..intact.values() {
        let len = intact.value_len(index).unwrap();
        let offsets = (0..len).filter(|at| *at < 64 || at % 97 == 0 || len - at < 8);
        for (offset, bit) in offsets.zip((0..8).cycle()) {
            let mut store = intact.restarted();
            assert!(store.damage(index, offset, 1 << bit));
            let loaded = store.load().unwrap();
            assert_eq!(loaded.quarantined_total, 1, "value {index}, byte {offset}");
            assert!(loaded.quarantine_held > 0, "the bytes are kept");
            assert_only_loss(&whole, &loaded);
            let again = store.restarted().load().unwrap();
            assert!(again.is_clean(), "{again:?}");
            assert_eq!(again.quarantine_held, loaded.quarantine_held);
            assert!(again.snapshot == loaded.snapshot, "value {index}, byte {offset}");
        }
    }
}

/// What is there was there before, and what is lost is what was damaged.
fn assert_only_loss(whole: &Loaded, loaded: &Loaded) {
    let (before, now) = (&whole.snapshot, &loaded.snapshot);
    assert!(now.next_message >= before.next_message && now.next_session >= before.next_session);
    let kind = loaded.quarantined[0].kind.unwrap();
    let (session, message) = (kind == Kind::Session, kind == Kind::Message);
    let delivery = session || message || kind == Kind::Delivery;
    assert_eq!(now.sessions.is_empty(), session);
    assert_eq!(now.messages.is_empty(), delivery);
    assert_eq!(now.retained.is_empty(), kind == Kind::Retained);
    for found in &now.sessions {
        assert_eq!(found.record, before.sessions[0].record);
        assert_eq!(found.deliveries.is_empty(), delivery);
        assert_eq!(found.subscriptions.is_empty(), kind == Kind::Subscription);
        assert_eq!(found.received.is_empty(), kind == Kind::Received);
    }
    assert_eq!(loaded.dropped.deliveries_without_message, u64::from(message));
    assert_eq!(loaded.dropped.deliveries_without_session, u64::from(session));
    assert_eq!(loaded.dropped.messages, u64::from(session || kind == Kind::Delivery));
}

const MESSAGES: u64 = 2_000;

/// A used store: every other message was delivered and removed again.
fn used_store(dir: &Path) -> Snapshot {
    drop(fill(dir));
    load(dir).snapshot
}

fn fill(dir: &Path) -> impl Store {
    let mut store = sled(dir);
    store.load().unwrap();
    store.commit(&[put_session(1), put_received(1, 3), put_retained("r", 100)]).unwrap();
    for first in (1..=MESSAGES).step_by(20) {
        let numbers = first..first + 20;
        let put = numbers
            .clone()
            .flat_map(|n| [put_message(n, "plant/line/7", 512), put_delivery(1, n, n, false)]);
        store.commit(&put.collect::<Vec<_>>()).unwrap();
        let gone = numbers.filter(|n| n % 2 == 0);
        let remove = gone.flat_map(|n| [remove_delivery(1, n), remove_message(n)]);
        store.commit(&remove.collect::<Vec<_>>()).unwrap();
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
    let before = load(intact.path());
    assert!(before.is_clean(), "{:?}", before.incidents);
    survives_damage(killed.path(), &before.snapshot);
}

fn survives_damage(origin: &Path, before: &Snapshot) {
    let len = fs::metadata(origin.join("sled/db")).unwrap().len();
    let mut cases = Vec::new();
    for n in 0..50_u64 {
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
        apply(&case.change, &dir.path().join("sled/db"));
        let loaded = load(dir.path());
        assert_nothing_invented(before, &loaded.snapshot, &case.name);
        let lost = deliveries(before).saturating_sub(deliveries(&loaded.snapshot));
        println!(
            "{}: lost {lost}, clean {}, {:?} {:?}",
            case.name,
            loaded.is_clean(),
            loaded.incidents,
            loaded.dropped
        );
        if loaded.snapshot != *before && loaded.is_clean() {
            silent.push(format!("{}: {lost}", case.name));
        }
        assert_works_on(dir.path(), &case.name);
    }
    assert_eq!(silent, Vec::<String>::new(), "losses nobody is told of");
}

fn deliveries(snapshot: &Snapshot) -> usize {
    snapshot.sessions.iter().map(|session| session.deliveries.len()).sum()
}

fn assert_nothing_invented(before: &Snapshot, now: &Snapshot, case: &str) {
    for (key, found) in &now.messages {
        assert_eq!(**found, *message("plant/line/7", 512), "{case}: message {key:?}");
    }
    for session in &now.sessions {
        assert_eq!(session.record, before.sessions[0].record, "{case}");
    }
}

fn assert_works_on(dir: &Path, case: &str) {
    let mut store = sled(dir);
    store.load().unwrap();
    let number = MESSAGES + 1;
    let ops = [put_session(9), put_message(number, "t", 5), put_delivery(9, 1, number, false)];
    store.commit(&ops).unwrap();
    drop(store);
    let loaded = load(dir);
    assert!(loaded.is_clean(), "{case}: {:?} {:?}", loaded.incidents, loaded.dropped);
    let session = loaded.snapshot.sessions.iter().find(|session| session.key.0 == 9);
    assert_eq!(session.unwrap().deliveries.len(), 1, "{case}");
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
        let loaded = load(dir.path());
        assert_eq!(loaded.snapshot, before);
        let set_aside = |incident: &Incident| matches!(incident, Incident::SetAside { .. });
        assert!(!loaded.incidents.iter().any(set_aside), "{:?}", loaded.incidents);
    }
}

#[test]
fn something_else_in_place_of_the_database_is_set_aside() {
    let origin = tempfile::tempdir().unwrap();
    used_store(origin.path());
    for content in [Vec::new(), vec![0; 3 << 20], vec![0xA5; 3 << 20]] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        let files = fs::read_dir(dir.path().join("sled")).unwrap();
        for path in files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            fs::write(path, &content).unwrap();
        }
        let loaded = load(dir.path());
        assert!(loaded.snapshot.sessions.is_empty());
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
    assert_eq!(load(renamed.path()).snapshot, before);
    for leftover in ["sled.new", "sled.old"] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        fs::create_dir(dir.path().join(leftover)).unwrap();
        fs::write(dir.path().join(leftover).join("db"), b"half").unwrap();
        assert_eq!(load(dir.path()).snapshot, before, "{leftover}");
        assert!(!dir.path().join(leftover).exists());
    }
}
