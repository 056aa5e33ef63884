//! Order, grouping, retries and the end of the committing thread.

use std::{
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use broker::durable::{Commit, Lsn};
use portcullis_store::{
    Committer, CommitterSettings, Event, Fault, MemoryStore, Store, StoreError,
};

use crate::harness::{put_delivery, put_message, put_session};

const QUICK: CommitterSettings = CommitterSettings {
    group_delay: Duration::ZERO,
    group_bytes: 1 << 20,
    retry_min: Duration::from_millis(1),
    retry_max: Duration::from_millis(4),
    shutdown_patience: Duration::from_millis(50),
};

fn spawn(store: &MemoryStore, settings: CommitterSettings) -> (Committer, Receiver<Event>) {
    let (events, received) = mpsc::channel();
    let sink = Box::new(move |event| drop(events.send(event)));
    (Committer::spawn(Box::new(store.clone()), settings, sink).unwrap(), received)
}

fn commit(number: u64) -> Commit {
    let ops =
        vec![put_session(1), put_message(number, "t", 10), put_delivery(1, number, number, false)];
    Commit { ops, upto: Lsn(number), weight: 1_000 }
}

fn durable(store: &MemoryStore) -> u64 {
    let loaded = store.restarted().load().unwrap();
    let session = loaded.snapshot.sessions.first();
    session.and_then(|session| session.deliveries.last()).map_or(0, |entry| entry.0)
}

#[test]
fn what_is_reported_is_there_at_that_moment() {
    let store = MemoryStore::new();
    let (committer, events) = spawn(&store, QUICK);
    let mut reported = 0;
    for number in 1..=50 {
        committer.submit(commit(number));
    }
    while reported < 50 {
        let Event::Committed { upto, .. } = events.recv().unwrap() else { panic!("no fault") };
        assert!(upto.0 > reported, "positions ascend");
        assert!(durable(&store) >= upto.0);
        reported = upto.0;
    }
    committer.shutdown().unwrap();
}

#[test]
fn commits_submitted_together_share_a_sync() {
    let store = MemoryStore::new();
    let settings = CommitterSettings { group_delay: Duration::from_millis(200), ..QUICK };
    let (committer, events) = spawn(&store, settings);
    (1..=20).for_each(|number| committer.submit(commit(number)));
    let Event::Committed { upto, .. } = events.recv().unwrap() else { panic!("no fault") };
    assert_eq!(upto, Lsn(20));
    let stats = committer.stats();
    assert_eq!((stats.commits, stats.syncs, stats.failures), (1, 1, 0));
    // 20 messages, 20 queue entries, the session, two high-water marks, two counts.
    assert_eq!((stats.records_written, stats.records_removed), (45, 0));
    assert!(stats.longest >= stats.last && stats.last > Duration::ZERO);
}

#[test]
fn a_full_group_does_not_wait() {
    let store = MemoryStore::new();
    let settings =
        CommitterSettings { group_delay: Duration::from_secs(3600), group_bytes: 3_000, ..QUICK };
    let (committer, events) = spawn(&store, settings);
    (1..=3).for_each(|number| committer.submit(commit(number)));
    assert!(matches!(events.recv().unwrap(), Event::Committed { upto: Lsn(3), .. }));
    committer.shutdown().unwrap();
}

#[test]
fn a_full_disk_holds_everything_back_and_then_goes_on_by_itself() {
    let store = MemoryStore::new();
    let (committer, events) = spawn(&store, QUICK);
    committer.submit(commit(1));
    assert!(matches!(events.recv().unwrap(), Event::Committed { upto: Lsn(1), .. }));
    store.fail_next([Fault::NoSpace, Fault::Refused, Fault::AnswerLost, Fault::Torn(0b101)]);
    committer.submit(commit(2));
    let mut pauses = Vec::new();
    for n in 0..4 {
        let Event::Failed { error, retry_in } = events.recv().unwrap() else {
            panic!("a lie: nothing is durable yet")
        };
        assert_eq!(error.is_no_space(), n == 0);
        pauses.push(retry_in.as_millis());
        if n == 0 {
            committer.submit(commit(3));
        }
    }
    assert_eq!(pauses, [1, 2, 4, 4]);
    assert!(matches!(events.recv().unwrap(), Event::Committed { upto: Lsn(2), .. }));
    assert!(matches!(events.recv().unwrap(), Event::Committed { upto: Lsn(3), .. }));
    assert_eq!(committer.stats().failures, 4);
    assert_eq!(durable(&store), 3);
}

#[test]
fn shutdown_drains() {
    let store = MemoryStore::new();
    store.delay_commits(Duration::from_millis(20));
    let settings = CommitterSettings { group_delay: Duration::from_secs(3600), ..QUICK };
    let (committer, events) = spawn(&store, settings);
    (1..=9).for_each(|number| committer.submit(commit(number)));
    committer.shutdown().unwrap();
    assert!(matches!(events.recv().unwrap(), Event::Committed { upto: Lsn(9), .. }));
    assert_eq!(durable(&store), 9);
}

#[test]
fn shutdown_ends_even_if_the_disk_never_recovers() {
    let store = MemoryStore::new();
    let (committer, events) = spawn(&store, QUICK);
    store.fail_next([Fault::NoSpace; 10_000]);
    committer.submit(commit(1));
    assert!(matches!(events.recv().unwrap(), Event::Failed { .. }));
    committer.submit(commit(2));
    let error = committer.shutdown().unwrap_err();
    assert!(matches!(error, StoreError::Stopped { abandoned: 2, .. }), "{error}");
    assert!(events.iter().all(|event| matches!(event, Event::Failed { .. })));
}
