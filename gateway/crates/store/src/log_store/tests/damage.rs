use std::path::Path;

use broker::durable::Urgency;
use mqtt::QoS;

use super::{
    harness::{Contents, message, put, put_received, put_retained, put_session, put_subscription},
    machine::{Machine, TINY, open},
};
use crate::{Cut, Incident, Kind, Loaded, Store};

/// A store with one of everything in its engine, and its messages in the log.
fn one_of_everything() -> Machine {
    let mut machine = Machine::new(TINY);
    let ops = [
        put_session(1),
        put_subscription(1, "a/+", QoS::AtLeastOnce),
        put(1, 9, 5, &message("a/b", 600)),
        put_received(1, 77),
        put_retained("a/b", 3),
    ];
    machine.commit(&ops, Urgency::Now).unwrap();
    machine.store.close();
    machine
}

/// Flips each byte of every stored value in turn.
#[test]
fn every_damaged_byte_is_found_and_costs_only_its_record() {
    let mut machine = one_of_everything();
    let whole = machine.store.load().unwrap();
    let whole = Contents::of(&mut machine.store, &whole);
    for index in 0..machine.engine.len() {
        for offset in 0..machine.engine.value_len(index) {
            let engine = machine.engine.cut();
            assert!(engine.damage(index, offset, 1 << (offset % 8)));
            let files = machine.files.cut(0, Cut::Process);
            let mut store = open(&files, &engine, TINY).unwrap();
            let loaded = store.load().unwrap();
            assert_eq!(loaded.quarantined_total, 1, "value {index}, byte {offset}");
            assert!(loaded.quarantine_held > 0, "the bytes are kept");
            let found = Contents::of(&mut store, &loaded);
            assert_only_loss(&whole, &found, &loaded);
            store.close();
            let mut store = open(&files, &engine.cut(), TINY).unwrap();
            let again = store.load().unwrap();
            assert!(again.is_clean(), "value {index}, byte {offset}: {again:?}");
            assert_eq!(again.quarantine_held, loaded.quarantine_held);
            assert_eq!(Contents::of(&mut store, &again), found);
        }
    }
}

/// What is there was there before, and what is lost is what was damaged.
fn assert_only_loss(whole: &Contents, found: &Contents, loaded: &Loaded) {
    let (before, now) = (&whole.snapshot, &found.snapshot);
    assert!(now.next_session >= before.next_session);
    let kind = loaded.quarantined[0].kind.unwrap();
    let session = kind == Kind::Session;
    assert_eq!(now.sessions.is_empty(), session);
    assert_eq!(now.retained.is_empty(), kind == Kind::Retained);
    for found in &now.sessions {
        assert_eq!(found.record, before.sessions[0].record);
        assert_eq!(found.queue.count == 0, kind == Kind::Queue);
        assert_eq!(found.subscriptions.is_empty(), kind == Kind::Subscription);
        assert_eq!(found.received.is_empty(), kind == Kind::Received);
    }
    assert_eq!(loaded.dropped.deliveries_without_session, u64::from(session));
}

#[test]
fn entries_whose_segment_is_gone_are_dropped_and_counted() {
    let mut machine = one_of_everything();
    let ops: Vec<_> = (10..60).map(|n| put(1, n, n, &message("t", 300))).collect();
    ops.chunks(5).for_each(|ops| machine.commit(ops, Urgency::Now).unwrap());
    machine.maintain().unwrap();
    machine.store.close();
    let files = machine.files.cut(0, Cut::Process);
    let mut store = open(&files, &machine.engine, TINY).unwrap();
    let path = files.paths().into_iter().filter(|path| path.starts_with("store/log")).min();
    crate::Files::remove(&files, &path.unwrap()).unwrap();
    let mut again = open(&files, &machine.engine, TINY).unwrap();
    let loaded = again.load().unwrap();
    let lost = loaded.dropped.deliveries_without_message;
    assert!(lost > 5 && lost < 30, "{lost}");
    let found = Contents::of(&mut again, &loaded);
    assert_eq!(found.queue(1).len() as u64, 51 - lost);
    assert!(found.queue(1).iter().all(|entry| entry.body.is_some()));
    again.close();
    drop(store.load());
    let mut again = open(&files, &machine.engine.cut(), TINY).unwrap();
    assert!(again.load().unwrap().is_clean());
}

#[test]
fn an_entry_whose_message_is_damaged_comes_without_it() {
    let machine = one_of_everything();
    let path = Path::new("store/log/00000001.seg");
    let mut bytes = machine.files.contents(path).unwrap();
    bytes[400] ^= 1;
    machine.files.put(path, &bytes);
    let mut store = open(&machine.files, &machine.engine.cut(), TINY).unwrap();
    let loaded = store.load().unwrap();
    let found = Contents::of(&mut store, &loaded);
    assert_eq!(found.queue(1).len(), 1);
    assert!(found.queue(1)[0].body.is_none() && found.queue(1)[0].weight > 600);
}

/// A log that is gone altogether: what comes after must not be taken for what was there.
#[test]
fn a_log_that_is_gone_is_told_of_and_begun_anew_elsewhere() {
    let mut machine = one_of_everything();
    let ops: Vec<_> = (10..60).map(|n| put(1, n, n, &message("t", 300))).collect();
    machine.commit(&ops, Urgency::Now).unwrap();
    let files = crate::SimulatedFiles::new();
    let mut store = open(&files, &machine.engine, TINY).unwrap();
    let loaded = store.load().unwrap();
    assert!(
        matches!(loaded.incidents[..], [Incident::LogDamaged { .. }]),
        "{:?}",
        loaded.incidents
    );
    assert_eq!(loaded.dropped.deliveries_without_message, 1);
    let ops = [put(1, 3, 1, &message("new", 600))];
    store.commit(&ops, Urgency::Now).unwrap();
    // Without a checkpoint the engine still names what is gone.
    let files = files.cut(0, Cut::Drop);
    let mut store = open(&files, &machine.engine.cut(), TINY).unwrap();
    let loaded = store.load().unwrap();
    let found = Contents::of(&mut store, &loaded);
    assert_eq!(found.queue(1).len(), 1);
    assert_eq!(found.queue(1)[0].body, Some(message("new", 600)));
}
