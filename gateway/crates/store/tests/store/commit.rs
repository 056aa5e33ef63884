//! What was committed is what is loaded and read, in any order of ops.

use crate::harness::{
    CLASS, Contents, check, disk, message, put, put_received, put_retained, put_session,
    put_subscription, release, remove, remove_received, remove_retained, remove_session,
    remove_subscription,
};
use broker::Timestamp;
use broker::durable::{Op, Read, SessionKey, Sum, Urgency, Wanted, class_of};
use mqtt::QoS;
use portcullis_store::{CommitStats, DiskStore, Fault, MemoryStore, Settings, Store, StoreError};
use proptest::prelude::*;

#[test]
fn an_empty_store_is_an_empty_snapshot() {
    check(&[]);
    check(&[vec![]]);
}

#[test]
fn one_of_everything_comes_back() {
    check(&[vec![
        put_session(1),
        put_subscription(1, "a/+", QoS::AtLeastOnce),
        put(1, 9, 5, &message("a/b", 512)),
        put_received(1, 77),
        put_retained("a/b", 3),
    ]]);
}

#[test]
fn a_removed_session_takes_everything_with_it() {
    let filters: Vec<String> = (0..50).map(|n| format!("f/{n}")).collect();
    let body = message("t", 10);
    let mut ops = vec![put_session(1), put_session(2)];
    for (n, filter) in (1..).zip(&filters) {
        ops.push(put_subscription(1, filter, QoS::AtMostOnce));
        ops.push(put(1, n * 20, 1, &body));
        ops.push(put_received(1, u16::try_from(n).unwrap()));
    }
    ops.push(put(2, 1, 1, &body));
    check(&[ops.clone(), vec![], vec![remove_session(1)]]);
    check(&[ops.clone(), vec![], vec![remove_session(1), put_session(1), put(1, 20, 2, &body)]]);
    check(&[ops.clone(), vec![remove_session(1)], vec![put_session(1), put(1, 20, 2, &body)]]);
    ops.push(remove_session(1));
    check(&[ops.clone()]);
    ops.push(put_session(1));
    check(&[ops]);
}

#[test]
fn long_names_and_payloads_come_back() {
    let long = "x".repeat(65_535);
    for len in [4_000, 4_084, 4_085, 5_000, 300_000] {
        check(&[
            vec![
                put_session(1),
                put_subscription(1, &long, QoS::ExactlyOnce),
                put(1, 1, 1, &message(&long, len)),
                put_retained(&long, len),
            ],
            vec![put_retained(&long, 5), put(1, 1, 2, &message("short", 1))],
        ]);
        check(&[
            vec![put_session(1), put_subscription(1, &long, QoS::ExactlyOnce)],
            vec![put_retained(&long, len)],
            vec![remove_subscription(1, &long), remove_retained(&long)],
        ]);
    }
}

#[test]
fn a_page_of_entries_with_many_identifiers_comes_back() {
    let body = message("t", 1);
    let entry = |n| match put(1, n, n, &body) {
        Op::PutDelivery { session, sequence, mut delivery, message, body } => {
            delivery.ids = (1..=900).map(|id| id * 1_000_000).collect();
            Op::PutDelivery { session, sequence, delivery, message, body }
        }
        other => other,
    };
    let mut full = vec![put_session(1)];
    full.extend((0..128).map(entry));
    check(&[full.clone(), vec![]]);
    check(&[full, vec![], (1..128).map(|n| remove(1, n)).collect(), vec![]]);
}

#[test]
fn a_released_entry_needs_no_message() {
    let body = message("t", 100);
    check(&[vec![put_session(1), put(1, 1, 1, &body), put(1, 2, 1, &body), release(1, 1)]]);
    check(&[
        vec![put_session(1), put(1, 1, 1, &body), put(1, 2, 1, &body)],
        vec![release(1, 1), release(1, 7)],
    ]);
    check(&[
        vec![put_session(1), put(1, 1, 1, &body)],
        vec![release(1, 1), remove(1, 1), put(1, 1, 2, &body)],
    ]);
}

#[test]
fn what_is_confirmed_before_its_commit_is_never_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = disk(dir.path());
    store.commit(&[put_session(1)], Urgency::Now).unwrap();
    let ops = [
        put(1, 1, 2, &message("t", 100_000)),
        put_received(1, 5),
        put_session(7),
        remove(1, 1),
        remove_received(1, 5),
        remove_session(7),
    ];
    assert_eq!(store.commit(&ops, Urgency::Now).unwrap(), CommitStats::default());
}

#[test]
fn a_message_for_many_sessions_is_written_once() {
    const SESSIONS: u32 = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let mut store = DiskStore::open(dir.path(), Settings::default()).unwrap();
    store.commit(&(0..SESSIONS).map(put_session).collect::<Vec<_>>(), Urgency::Now).unwrap();
    let body = message("t", 10_000);
    let ops: Vec<Op> = (0..SESSIONS).map(|session| put(session, 4, 9, &body)).collect();
    let stats = store.commit(&ops, Urgency::Now).unwrap();
    assert!(stats.bytes < 30_000, "{stats:?}");
    // A moment later, another session is found to want it too.
    let stats = store.commit(&[put(1, 5, 9, &body)], Urgency::Now).unwrap();
    assert!(stats.bytes < 100, "{stats:?}");
    drop(store);
    let mut store = DiskStore::open(dir.path(), Settings::default()).unwrap();
    let loaded = store.load().unwrap();
    let contents = Contents::of(&mut store, &loaded);
    assert_eq!(contents.entries(), SESSIONS as usize + 1);
    let bodies = contents.queues.values().flatten();
    assert!(bodies.filter_map(|entry| entry.body.as_ref()).all(|found| **found == *body));
}

#[test]
fn what_was_committed_can_be_read_at_once_and_bit_by_bit() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = disk(dir.path());
    let bodies: Vec<_> = (0..300).map(|n| message("t", n)).collect();
    let mut ops = vec![put_session(1)];
    ops.extend(bodies.iter().zip(0..).map(|(body, n)| put(1, n, n, body)));
    store.commit(&ops, Urgency::Whenever).unwrap();
    let session = SessionKey(1);
    let read =
        Read { session, from: 10, max_entries: 5, max_bytes: usize::MAX, wanted: Wanted::All };
    let page = store.read(&read).unwrap();
    assert!(page.entries.iter().map(|entry| entry.sequence).eq(10..15));
    assert_eq!((page.next, page.first_expiry), (Some(15), None));
    // Messages longer than 50 bytes expire when their length says.
    let wanted = Wanted::ExpiredBy(Timestamp::from_unix_ms(60));
    let page = store.read(&Read { from: 0, max_entries: 500, wanted, ..read }).unwrap();
    assert!(page.entries.iter().map(|entry| entry.sequence).eq(51..=60));
    assert!(page.entries.iter().all(|entry| entry.body.is_none() && entry.weight > 0));
    assert_eq!((page.next, page.first_expiry), (None, Some(Timestamp::from_unix_ms(61))));
    let page = store.read(&Read { from: 299, max_bytes: 1, ..read }).unwrap();
    assert_eq!((page.entries.len(), page.next), (1, None));
    let page = store.read(&Read { from: 300, ..read }).unwrap();
    assert_eq!((page.entries.len(), page.next), (0, None));
}

#[test]
fn what_belongs_to_a_class_is_summed_up_and_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = disk(dir.path());
    let body = message("t", 9);
    let mut ops = vec![put_session(1)];
    ops.extend((1..500).map(|n| put(1, n, n, &body)));
    ops.extend([release(1, 7), remove(1, 14)]);
    store.commit(&ops, Urgency::Whenever).unwrap();
    let class = class_of(&[CLASS]).unwrap();
    let (max_entries, max_bytes, wanted) = (3, usize::MAX, Wanted::OfClass(class));
    let read = Read { session: SessionKey(1), from: 8, max_entries, max_bytes, wanted };
    let page = store.read(&read).unwrap();
    assert!(page.entries.iter().map(|entry| entry.sequence).eq([21, 28, 35]));
    assert!(page.entries.iter().all(|entry| entry.body.is_none() && entry.weight > 0));
    assert_eq!(page.next, Some(36));
    drop(store);
    let mut store = DiskStore::open(dir.path(), Settings::default()).unwrap();
    let queue = &store.load().unwrap().snapshot.sessions[0].queue;
    let sum = Sum { count: 70, weight: 69 * body.weight() };
    assert!(queue.classes.iter().eq([(&class, &sum)]));
}

#[test]
fn an_entry_replaced_and_removed_in_one_commit_is_gone() {
    let body = message("t", 1);
    check(&[
        vec![put_session(1), put(1, 1, 1, &body)],
        vec![put(1, 1, 2, &body), release(1, 1), remove(1, 1)],
    ]);
}

#[test]
fn numbers_of_removed_sessions_are_not_used_again() {
    check(&[vec![put_session(8)], vec![remove_session(8)]]);
    check(&[vec![put_session(8)], vec![], vec![remove_session(8)]]);
}

#[test]
fn committed_twice_is_committed_once() {
    let body = message("t", 9_000);
    let dir = tempfile::tempdir().unwrap();
    let mut store = disk(dir.path());
    store.commit(&[put_session(1), put(1, 1, 1, &body)], Urgency::Now).unwrap();
    let ops = [put(1, 2, 2, &body), remove(1, 1), put(1, 3, 3, &body), remove(1, 3)];
    store.commit(&ops, Urgency::Now).unwrap();
    assert_eq!(store.commit(&ops, Urgency::Now).unwrap(), CommitStats::default());
    for fault in [Fault::Refused, Fault::NoSpace, Fault::AnswerLost] {
        let mut store = MemoryStore::new();
        store.fail_next([fault]);
        store.commit(&ops, Urgency::Now).unwrap_err();
        store.commit(&ops, Urgency::Now).unwrap();
    }
}

#[test]
fn a_store_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let first = disk(dir.path());
    let second = DiskStore::open(dir.path(), Settings::default());
    assert!(matches!(second, Err(StoreError::Locked { .. })));
    drop(first);
    disk(dir.path()).load().unwrap();
}

const TOPICS: [&str; 4] = ["a", "a/b", "c/d/e", "long"];

fn topic(index: usize) -> String {
    match TOPICS[index % TOPICS.len()] {
        "long" => "l".repeat(9_000),
        short => short.to_owned(),
    }
}

/// A message for each number: as with the broker, the same number is the same message.
fn body(number: u64) -> std::sync::Arc<broker::Message> {
    let len = [0_usize, 60, 4_080, 4_090, 9_000][usize::try_from(number % 5).unwrap()];
    message(&topic(usize::try_from(number).unwrap()), len)
}

fn any_op() -> impl Strategy<Value = Op> {
    let session = 0..4_u32;
    let sequence = prop::sample::select(vec![0_u64, 1, 2, 126, 127, 128, 129, 400, 1 << 40]);
    let length = prop::sample::select(vec![0_usize, 60, 4_080, 4_090, 9_000]);
    prop_oneof![
        4 => session.clone().prop_map(put_session),
        1 => session.clone().prop_map(remove_session),
        2 => (session.clone(), 0..4_usize).prop_map(|(s, t)| {
            put_subscription(s, &topic(t), QoS::AtLeastOnce)
        }),
        1 => (session.clone(), 0..4_usize).prop_map(|(s, t)| {
            remove_subscription(s, &topic(t))
        }),
        8 => (session.clone(), sequence.clone(), 0..12_u64).prop_map(|(s, n, m)| {
            put(s, n, m, &body(m))
        }),
        2 => (session.clone(), sequence.clone()).prop_map(|(s, n)| release(s, n)),
        4 => (session.clone(), sequence).prop_map(|(s, n)| remove(s, n)),
        2 => (session.clone(), 1..4_u16).prop_map(|(s, id)| put_received(s, id)),
        1 => (session, 1..4_u16).prop_map(|(s, id)| remove_received(s, id)),
        2 => (0..4_usize, length).prop_map(|(t, len)| put_retained(&topic(t), len)),
        1 => (0..4_usize).prop_map(|t| remove_retained(&topic(t))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_ops_are_what_the_store_in_memory_says(
        commits in prop::collection::vec(prop::collection::vec(any_op(), 0..20), 1..6)
    ) {
        check(&commits);
    }
}
