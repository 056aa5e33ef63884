use std::path::PathBuf;

use broker::durable::Urgency;
use mqtt::QoS;

use super::{
    harness::{Contents, message, put, put_received, put_retained, put_session, put_subscription},
    machine::{Machine, TINY, open},
};
use crate::{
    Cut, Finding, MemoryStore, SimulatedFiles, Store, memory_engine::MemoryEngine, survey::Survey,
};

/// A store with a little of everything, part of it in the engine and part in the log only.
fn store() -> Machine {
    let mut machine = Machine::new(TINY);
    let first = [
        put_session(1),
        put_session(2),
        put_subscription(1, "a/+", QoS::AtLeastOnce),
        put_received(1, 77),
        put_retained("a/b", 3),
    ];
    machine.commit(&first, Urgency::Now).unwrap();
    let body = message("a/b", 90);
    for n in 0..12 {
        let ops = [put(1, n, n, &body), put(2, n, n, &body)];
        machine.commit(&ops, Urgency::Now).unwrap();
    }
    machine.store.close();
    for n in 12..20 {
        machine.commit(&[put(1, n, n, &body)], Urgency::Now).unwrap();
    }
    machine
}

fn survey(files: &SimulatedFiles, engine: &MemoryEngine) -> (Survey, Vec<Finding>) {
    let mut survey = Survey::over(Box::new(open(files, engine, TINY).unwrap())).unwrap();
    let mut findings = Vec::new();
    survey.verify(&mut |finding| findings.push(finding)).unwrap();
    (survey, findings)
}

/// What the survey shows, in the form of the store's other tests.
fn contents(survey: &mut Survey) -> Contents {
    let mut contents = Contents::default();
    contents.snapshot.sessions = survey.sessions().to_vec();
    contents.snapshot.retained = survey.retained().to_vec();
    for session in contents.snapshot.sessions.clone() {
        let queue = contents.queues.entry(session.key).or_default();
        let read = survey.queue(session.key, |entry| {
            queue.push(entry);
            Ok::<_, crate::StoreError>(())
        });
        read.unwrap();
    }
    contents
}

fn expected(model: &MemoryStore) -> Contents {
    let mut model = model.restarted();
    let loaded = model.load().unwrap();
    let mut contents = Contents::of(&mut model, &loaded);
    contents.snapshot.next_session = 0;
    contents
}

#[test]
fn a_sound_store_has_no_findings_and_its_sums_are_right() {
    let machine = store();
    let (mut survey, findings) = survey(&machine.files.cut(0, Cut::Process), &machine.engine.cut());
    assert_eq!(findings, []);
    assert_eq!(contents(&mut survey), expected(machine.now()));
    let overview = survey.overview();
    assert_eq!((overview.format, overview.sessions, overview.subscriptions), (2, 2, 1));
    assert_eq!((overview.retained, overview.retained_bytes), (1, 3));
    assert_eq!(overview.queued, 32);
    let weight = message("a/b", 90).weight() as u64;
    assert_eq!(overview.queued_bytes, 32 * weight);
    assert_eq!(overview.groups_since, 8);
    let entries: u64 = overview.segments.iter().map(|segment| segment.entries).sum();
    assert_eq!(entries, 32);
}

#[test]
fn every_damaged_byte_of_the_database_is_found() {
    let machine = store();
    for index in 0..machine.engine.len() {
        for offset in 0..machine.engine.value_len(index) {
            let engine = machine.engine.cut();
            assert!(engine.damage(index, offset, 1 << (offset % 8)));
            let (_, findings) = survey(&machine.files.cut(0, Cut::Process), &engine);
            assert!(!findings.is_empty(), "value {index}, byte {offset}");
        }
    }
}

/// What nobody needs any more may be damaged and not found; what is needed may not.
#[test]
fn every_damaged_byte_of_the_log_that_costs_anything_is_found() {
    let machine = store();
    let whole = expected(machine.now());
    let log = |path: &PathBuf| path.starts_with("store/log");
    let mut found = 0;
    let mut bytes = 0;
    for path in machine.files.paths().into_iter().filter(log) {
        let content = machine.files.contents(&path).unwrap();
        let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for offset in 0..used {
            let files = machine.files.cut(0, Cut::Process);
            let mut content = content.clone();
            content[offset] ^= 1 << (offset % 8);
            files.put(&path, &content);
            let (mut survey, findings) = survey(&files, &machine.engine.cut());
            let place = format!("{} byte {offset}", path.display());
            assert!(contents(&mut survey) == whole || !findings.is_empty(), "{place}");
            found += usize::from(!findings.is_empty());
            bytes += 1;
        }
    }
    assert!(found * 2 > bytes, "{found} of {bytes}: most bytes are needed");
}

#[test]
fn findings_say_where_and_what_it_costs() {
    let machine = store();
    let files = machine.files.cut(0, Cut::Process);
    let path = files.paths().into_iter().find(|path| path.starts_with("store/log")).unwrap();
    let mut content = files.contents(&path).unwrap();
    let payload: Vec<u8> = (0..90).collect();
    let at = content.windows(90).position(|window| window == payload).unwrap();
    content[at] ^= 1;
    files.put(&path, &content);
    let (_, findings) = survey(&files, &machine.engine.cut());
    let [first, second] = findings.as_slice() else { panic!("{findings:?}") };
    assert!(first.place.starts_with("log file 00000001 at "), "{first:?}");
    assert_eq!(first.place, second.place, "they share it");
    assert_eq!(first.cost, "message 0 of client \"client-1\"");
    assert_eq!(second.cost, "message 0 of client \"client-2\"");
}

#[test]
fn tightening_leaves_what_is_alive_and_little_else() {
    let mut machine = Machine::new(TINY);
    machine.commit(&[put_session(1)], Urgency::Now).unwrap();
    for n in 0..300 {
        machine.commit(&[put(1, n, n, &message("t", 300))], Urgency::Now).unwrap();
    }
    let gone: Vec<_> =
        (0..300).filter(|n| n % 3 > 0).map(|n| super::harness::remove(1, n)).collect();
    machine.commit(&gone, Urgency::Now).unwrap();
    machine.restart(0, Cut::Process);
    let before = machine.store.usage();
    machine.store.tighten().unwrap();
    let after = machine.store.usage();
    machine.check();
    assert!(after.log_bytes < before.log_bytes / 2, "{} of {}", after.log_bytes, before.log_bytes);
    // Once more there is nothing to be had, and it ends all the same.
    machine.restart(0, Cut::Drop);
    machine.store.tighten().unwrap();
    machine.check();
    assert!(machine.store.usage().log_bytes <= after.log_bytes + (4 << 10));
    let all: Vec<_> = (0..300).map(|n| super::harness::remove(1, n)).collect();
    machine.commit(&all, Urgency::Now).unwrap();
    machine.restart(0, Cut::Drop);
    machine.store.tighten().unwrap();
    assert!(machine.store.usage().log_bytes <= TINY.reserve_bytes + 200);
    assert_eq!(machine.restart(0, Cut::Drop).incidents, []);
}
