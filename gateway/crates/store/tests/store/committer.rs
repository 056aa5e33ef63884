//! Order, grouping, retries and the end of the committing thread.

use std::{
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use broker::durable::{Commit, Lsn, Read, SessionKey, Urgency, Wanted};
use portcullis_store::{Committer, CommitterSettings, Event, Fault, MemoryStore, StoreError};

use crate::harness::{commit_of, message, put, put_session, queue, remove};

const QUICK: CommitterSettings = CommitterSettings {
    group_delay: Duration::ZERO,
    group_bytes: 1 << 20,
    soon_delay: Duration::from_millis(20),
    retry_min: Duration::from_millis(1),
    retry_max: Duration::from_millis(4),
    shutdown_patience: Duration::from_millis(50),
};

fn spawn(
    store: &MemoryStore,
    settings: CommitterSettings,
) -> (Committer<u64>, Receiver<Event<u64>>) {
    let (events, received) = mpsc::channel();
    let sink = Box::new(move |event| drop(events.send(event)));
    (Committer::spawn(Box::new(store.clone()), settings, sink).unwrap(), received)
}

fn commit(number: u64) -> Commit {
    urgent(number, Urgency::Now)
}

fn urgent(number: u64, urgency: Urgency) -> Commit {
    let ops = vec![put_session(1), put(1, number, number, &message("t", 10))];
    commit_of(ops, number, 1_000, urgency)
}

fn durable(store: &MemoryStore) -> u64 {
    let last = queue(&mut store.restarted(), SessionKey(1));
    last.last().map_or(0, |entry| entry.sequence)
}

/// What of the events matters to whoever waits for commits: position and whether it is synced.
fn committed(event: Event<u64>) -> (u64, bool) {
    match event {
        Event::Committed { upto, synced, .. } => (upto.0, synced),
        other => panic!("no fault: {other:?}"),
    }
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
fn a_commit_waits_for_the_pause_between_groups_and_for_nothing_else() {
    const DELAY: Duration = Duration::from_millis(500);
    let store = MemoryStore::new();
    let (committer, events) = spawn(&store, CommitterSettings { group_delay: DELAY, ..QUICK });
    let began = Instant::now();
    committer.submit(commit(1));
    assert_eq!(committed(events.recv().unwrap()), (1, true));
    let first = began.elapsed();
    assert!(first < DELAY, "nothing was written before, yet it took {first:?}");
    (2..=20).for_each(|number| committer.submit(commit(number)));
    assert_eq!(committed(events.recv().unwrap()), (20, true));
    let both = began.elapsed();
    assert!(both >= DELAY, "two groups within {both:?}");
    let stats = committer.stats();
    assert_eq!((stats.commits, stats.syncs, stats.failures), (2, 2, 0));
    assert_eq!((stats.records_written, stats.records_removed), (40, 0));
    assert!(stats.longest >= stats.last && stats.last > Duration::ZERO);
    std::thread::sleep(DELAY);
    let began = Instant::now();
    committer.submit(commit(21));
    assert_eq!(committed(events.recv().unwrap()), (21, true));
    let late = began.elapsed();
    assert!(late < DELAY, "the pause was over, yet it took {late:?}");
}

#[test]
fn a_full_group_does_not_wait() {
    let store = MemoryStore::new();
    let settings =
        CommitterSettings { group_delay: Duration::from_secs(3600), group_bytes: 3_000, ..QUICK };
    let (committer, events) = spawn(&store, settings);
    committer.submit(commit(1));
    assert_eq!(committed(events.recv().unwrap()), (1, true));
    (2..=4).for_each(|number| committer.submit(commit(number)));
    assert_eq!(committed(events.recv().unwrap()), (4, true));
    committer.shutdown().unwrap();
}

#[test]
fn a_full_disk_holds_everything_back_and_then_goes_on_by_itself() {
    let store = MemoryStore::new();
    let (committer, events) = spawn(&store, QUICK);
    committer.submit(commit(1));
    assert!(matches!(events.recv().unwrap(), Event::Committed { upto: Lsn(1), .. }));
    store.fail_next([Fault::NoSpace, Fault::Refused, Fault::AnswerLost, Fault::Refused]);
    committer.submit(commit(2));
    assert!(matches!(events.recv().unwrap(), Event::Full));
    let mut pauses = Vec::new();
    for n in 0..4 {
        let Event::Failed { error, retry_in } = events.recv().unwrap() else {
            panic!("a lie: nothing is durable yet")
        };
        assert_eq!(error.is_no_space(), n == 0);
        pauses.push(retry_in.as_millis());
        if n == 0 {
            committer.submit(commit(3));
            // Who reads does not wait for who writes.
            committer.read(7, read_from(0));
            match events.recv().unwrap() {
                Event::Read { reader: 7, page } => assert_eq!(page.entries.len(), 1),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(pauses, [1, 2, 4, 4]);
    assert!(matches!(events.recv().unwrap(), Event::Committed { upto: Lsn(2), .. }));
    assert!(matches!(events.recv().unwrap(), Event::Space));
    assert!(matches!(events.recv().unwrap(), Event::Committed { upto: Lsn(3), .. }));
    assert_eq!(committer.stats().failures, 4);
    assert_eq!(durable(&store), 3);
}

/// Whoever asks is answered by a thread that has nothing to do, and by one whose disk refuses; not by one that is kept waiting.
#[test]
fn the_thread_answers_unless_it_is_kept_waiting() {
    let store = MemoryStore::new();
    let (entered, entries) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let sink = Box::new(move |_: Event<u64>| {
        let _ = entered.send(());
        let _ = released.lock().unwrap().recv();
    });
    let committer = Committer::spawn(Box::new(store), QUICK, sink).unwrap();
    let answers = |knock: u64| {
        let until = Instant::now() + Duration::from_secs(5);
        while !committer.has_answered(knock) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        committer.has_answered(knock)
    };
    assert!(answers(committer.knock()), "nothing to do");
    committer.submit(commit(1));
    entries.recv().unwrap();
    let knock = committer.knock();
    std::thread::sleep(Duration::from_millis(50));
    assert!(!committer.has_answered(knock), "it is kept waiting");
    drop(release);
    assert!(answers(knock));
}

#[test]
fn shutdown_drains() {
    let store = MemoryStore::new();
    store.delay_commits(Duration::from_millis(20));
    let settings = CommitterSettings { group_delay: Duration::from_secs(3600), ..QUICK };
    let (committer, events) = spawn(&store, settings);
    committer.submit(commit(1));
    assert_eq!(committed(events.recv().unwrap()), (1, true));
    (2..=9).for_each(|number| committer.submit(commit(number)));
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
    assert!(matches!(events.recv().unwrap(), Event::Full));
    assert!(matches!(events.recv().unwrap(), Event::Failed { .. }));
    committer.submit(commit(2));
    let error = committer.shutdown().unwrap_err();
    assert!(matches!(error, StoreError::Stopped { abandoned: 2, .. }), "{error}");
    assert!(events.iter().all(|event| matches!(event, Event::Failed { .. })));
}

fn read_from(from: u64) -> Read {
    let session = SessionKey(1);
    Read { session, from, max_entries: 100, max_bytes: 1 << 20, wanted: Wanted::All }
}

#[test]
fn what_nobody_waits_for_is_written_at_once_and_synced_soon() {
    let store = MemoryStore::new();
    let settings = CommitterSettings { group_delay: Duration::from_secs(3600), ..QUICK };
    let (committer, events) = spawn(&store, settings);
    committer.submit(urgent(1, Urgency::Whenever));
    assert_eq!(committed(events.recv().unwrap()), (1, false));
    assert!(events.recv_timeout(Duration::from_millis(60)).is_err(), "whenever is not soon");
    committer.submit(urgent(2, Urgency::Soon));
    assert_eq!(committed(events.recv().unwrap()), (2, false));
    assert_eq!(committed(events.recv().unwrap()), (2, true));
    assert_eq!(committer.stats().syncs, 1);
    // What is asked for now has everything before it synced.
    committer.submit(urgent(3, Urgency::Whenever));
    assert_eq!(committed(events.recv().unwrap()), (3, false));
    committer.submit(commit_of(vec![], 3, 4 << 20, Urgency::Now));
    assert_eq!(committed(events.recv().unwrap()), (3, true));
    committer.submit(urgent(4, Urgency::Soon));
    assert_eq!(committed(events.recv().unwrap()), (4, false));
    committer.shutdown().unwrap();
    assert_eq!(committed(events.recv().unwrap()), (4, true));
}

#[test]
fn reads_are_served_in_the_pause_between_groups_and_never_hold_up_a_group() {
    let store = MemoryStore::new();
    let settings = CommitterSettings { group_delay: Duration::from_millis(300), ..QUICK };
    let (committer, events) = spawn(&store, settings);
    committer.submit(commit(1));
    assert_eq!(committed(events.recv().unwrap()), (1, true));
    committer.submit(commit(2));
    committer.read(1, read_from(0));
    assert!(matches!(events.recv().unwrap(), Event::Read { reader: 1, .. }));
    store.delay_commits(Duration::from_millis(50));
    committer.submit(urgent(3, Urgency::Now));
    assert_eq!(committed(events.recv().unwrap()), (3, true));
    committer.submit(urgent(4, Urgency::Whenever));
    std::thread::sleep(Duration::from_millis(10));
    // These arrive while the disk is busy; so does the next group.
    (0..100).for_each(|reader| committer.read(reader, read_from(0)));
    committer.submit(urgent(5, Urgency::Whenever));
    assert_eq!(committed(events.recv().unwrap()), (4, false));
    let before = events.iter().take_while(|event| matches!(event, Event::Read { .. })).count();
    assert!(before < 10, "{before} reads went before");
    let later = events.iter().take(100 - before);
    assert!(later.into_iter().all(|event| matches!(event, Event::Read { .. })));
    committer.submit(commit_of(vec![remove(1, 4)], 6, 1, Urgency::Whenever));
    assert_eq!(committed(events.recv().unwrap()), (6, false));
}

#[test]
fn a_read_that_fails_is_tried_again_until_it_succeeds() {
    let store = MemoryStore::new();
    let (committer, events) = spawn(&store, QUICK);
    committer.submit(commit(1));
    assert_eq!(committed(events.recv().unwrap()), (1, true));
    store.fail_reads(3);
    committer.read(1, read_from(0));
    committer.read(2, read_from(0));
    let (mut failed, mut read) = (0, Vec::new());
    while read.len() < 2 {
        match events.recv().unwrap() {
            Event::ReadFailed { .. } => failed += 1,
            Event::Read { reader, page } => {
                assert_eq!(page.entries.len(), 1);
                read.push(reader);
            }
            other => panic!("{other:?}"),
        }
    }
    read.sort_unstable();
    assert_eq!(read, [1, 2]);
    assert!((1..=3).contains(&failed), "{failed}");
    store.fail_reads(1_000_000);
    committer.read(3, read_from(0));
    assert!(matches!(events.recv().unwrap(), Event::ReadFailed { .. }));
    // Who reads in vain keeps nobody from the end.
    committer.shutdown().unwrap();
}
