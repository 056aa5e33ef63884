//! What was committed is what is loaded, on every store, in any order of ops.

use crate::harness::{
    Model, check, put_delivery, put_message, put_received, put_retained, put_session,
    put_subscription, remove_delivery, remove_message, remove_received, remove_retained,
    remove_session, remove_subscription, sled,
};
use broker::durable::Op;
use mqtt::QoS;
use portcullis_store::{CommitStats, Fault, MemoryStore, Settings, SledStore, Store, StoreError};
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
        put_message(5, "a/b", 512),
        put_delivery(1, 9, 5, false),
        put_received(1, 77),
        put_retained("a/b", 3),
    ]]);
}

#[test]
fn a_removed_session_takes_everything_with_it() {
    let filters: Vec<String> = (0..50).map(|n| format!("f/{n}")).collect();
    let mut ops = vec![put_session(1), put_session(2), put_message(1, "t", 10)];
    for (n, filter) in (1..).zip(&filters) {
        ops.push(put_subscription(1, filter, QoS::AtMostOnce));
        ops.push(put_delivery(1, n, 1, false));
        ops.push(put_received(1, u16::try_from(n).unwrap()));
    }
    ops.push(put_delivery(2, 1, 1, false));
    check(&[ops.clone(), vec![remove_session(1)]]);
    ops.push(remove_session(1));
    check(&[ops.clone()]);
    ops.push(put_session(1));
    check(&[ops]);
}

#[test]
fn long_names_and_payloads_are_cut_and_joined() {
    let long = "x".repeat(65_535);
    for len in [4_000, 4_084, 4_085, 5_000, 300_000] {
        check(&[
            vec![
                put_session(1),
                put_subscription(1, &long, QoS::ExactlyOnce),
                put_message(1, &long, len),
                put_delivery(1, 1, 1, false),
                put_retained(&long, len),
            ],
            vec![put_retained(&long, 5), put_message(1, "short", 1)],
        ]);
        check(&[
            vec![put_session(1), put_subscription(1, &long, QoS::ExactlyOnce)],
            vec![put_retained(&long, len)],
            vec![remove_subscription(1, &long), remove_retained(&long)],
        ]);
        check(&[
            vec![put_session(1), put_subscription(1, &long, QoS::ExactlyOnce)],
            vec![remove_session(1)],
        ]);
    }
}

#[test]
fn a_delivery_that_owes_only_a_pubrel_needs_no_message() {
    check(&[vec![put_session(1), put_delivery(1, 1, 9, true), put_delivery(1, 2, 9, false)]]);
}

#[test]
fn what_is_confirmed_before_its_commit_is_never_written() {
    let mut store = MemoryStore::new();
    store.commit(&[put_session(1), put_message(1, "t", 1)]).unwrap();
    let stats = store
        .commit(&[
            put_message(2, "t", 100_000),
            put_delivery(1, 1, 2, false),
            remove_delivery(1, 1),
            remove_message(2),
        ])
        .unwrap();
    assert_eq!(stats, CommitStats::default());
}

#[test]
fn an_entry_replaced_and_removed_in_one_commit_is_gone() {
    check(&[
        vec![put_session(1), put_message(1, "t", 1), put_delivery(1, 1, 1, false)],
        vec![put_delivery(1, 1, 1, true), remove_delivery(1, 1), remove_message(1)],
    ]);
}

#[test]
fn numbers_of_removed_things_are_not_used_again() {
    check(&[
        vec![put_session(8), put_message(1 << 20, "t", 1), put_delivery(8, 1, 1 << 20, false)],
        vec![remove_delivery(8, 1), remove_message(1 << 20), remove_session(8)],
    ]);
}

#[test]
fn a_failed_commit_can_be_committed_again() {
    let first = [put_session(1), put_message(1, "t", 9_000), put_delivery(1, 1, 1, false)];
    let second = [
        put_message(2, "t", 9_000),
        put_delivery(1, 2, 2, false),
        remove_delivery(1, 1),
        remove_message(1),
        put_message(3, "t", 1),
        remove_message(3),
    ];
    for fault in [Fault::Refused, Fault::NoSpace, Fault::AnswerLost, Fault::Torn(0x5555_5555)] {
        let mut model = Model::default();
        let mut store = MemoryStore::new();
        for ops in [&first[..], &second] {
            store.load().unwrap();
            store.fail_next([fault]);
            store.commit(ops).unwrap_err();
            store.commit(ops).unwrap();
            model.apply(ops);
        }
        model.reload().assert_same(&store.restarted().load().unwrap());
    }
}

#[test]
fn an_answer_lost_is_followed_by_a_sync_even_if_nothing_is_left_to_write() {
    let mut store = MemoryStore::new();
    store.load().unwrap();
    store.fail_next([Fault::AnswerLost]);
    store.commit(&[put_session(1)]).unwrap_err();
    assert_eq!(store.commit(&[]).unwrap().syncs, 1);
    assert_eq!(store.commit(&[]).unwrap().syncs, 0);
}

#[test]
fn a_store_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let first = sled(dir.path());
    let second = SledStore::open(dir.path(), Settings::default());
    assert!(matches!(second, Err(StoreError::Locked { .. })));
    drop(first);
    sled(dir.path()).load().unwrap();
}

const TOPICS: [&str; 4] = ["a", "a/b", "c/d/e", "long"];

fn topic(index: usize) -> String {
    match TOPICS[index % TOPICS.len()] {
        "long" => "l".repeat(9_000),
        short => short.to_owned(),
    }
}

fn any_op() -> impl Strategy<Value = Op> {
    let session = 0..4_u32;
    let message = 0..8_u64;
    let length = prop::sample::select(vec![0_usize, 60, 4_080, 4_090, 9_000]);
    prop_oneof![
        3 => session.clone().prop_map(put_session),
        1 => session.clone().prop_map(remove_session),
        2 => (session.clone(), 0..4_usize).prop_map(|(s, t)| {
            put_subscription(s, &topic(t), QoS::AtLeastOnce)
        }),
        1 => (session.clone(), 0..4_usize).prop_map(|(s, t)| {
            remove_subscription(s, &topic(t))
        }),
        4 => (message.clone(), 0..4_usize, length.clone()).prop_map(|(m, t, len)| {
            put_message(m, &topic(t), len)
        }),
        2 => message.clone().prop_map(remove_message),
        6 => (session.clone(), 0..5_u64, message, any::<bool>()).prop_map(|(s, n, m, released)| {
            put_delivery(s, n, m, released)
        }),
        3 => (session.clone(), 0..5_u64).prop_map(|(s, n)| remove_delivery(s, n)),
        2 => (session.clone(), 1..4_u16).prop_map(|(s, id)| put_received(s, id)),
        1 => (session, 1..4_u16).prop_map(|(s, id)| remove_received(s, id)),
        2 => (0..4_usize, length).prop_map(|(t, len)| put_retained(&topic(t), len)),
        1 => (0..4_usize).prop_map(|t| remove_retained(&topic(t))),
    ]
}

fn any_commits() -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(any_op(), 0..20), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_ops_are_what_the_model_says(commits in any_commits()) {
        check(&commits);
    }

    /// With a restart after every commit.
    #[test]
    fn restarts_change_nothing(commits in any_commits()) {
        let mut model = Model::default();
        let mut store = MemoryStore::new();
        for ops in &commits {
            store.commit(ops).unwrap();
            model.apply(ops);
            store = store.restarted();
            model.reload().assert_same(&store.load().unwrap());
        }
    }

    /// Whatever part of a commit reached the disk, and an engine without atomic
    /// batches could keep any: what is loaded fits together and loads again unchanged.
    #[test]
    fn any_part_of_a_commit_recovers(commits in any_commits(), mask: u64) {
        let mut store = MemoryStore::new();
        store.load().unwrap();
        let (last, before) = commits.split_last().unwrap();
        for ops in before {
            store.commit(ops).unwrap();
        }
        store.fail_next([Fault::Torn(mask)]);
        let _ = store.commit(last);
        let mut store = store.restarted();
        let loaded = store.load().unwrap();
        let messages: Vec<_> = loaded.snapshot.messages.iter().map(|(key, _)| *key).collect();
        for session in &loaded.snapshot.sessions {
            for (_, delivery) in &session.deliveries {
                prop_assert!(delivery.released || messages.contains(&delivery.message));
            }
        }
        let again = store.restarted().load().unwrap();
        prop_assert_eq!(&again.snapshot, &loaded.snapshot);
        prop_assert!(again.is_clean(), "{again:?}");
    }
}
