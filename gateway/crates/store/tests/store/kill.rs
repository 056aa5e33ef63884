//! `kill -9` at any moment loses nothing that was reported, and tears no commit.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use broker::durable::{Commit, Op, SessionKey, Urgency};
use portcullis_store::{Committer, CommitterSettings, Event, Store};

use crate::harness::{
    commit_of, disk, load, message, put, put_received, put_session, queue, remove, remove_received,
};

const CYCLES: u64 = 20;
const DIR: &str = "PORTCULLIS_STORE_TEST_DIR";
/// How many entries the queue keeps: each commit adds one and removes the oldest.
const WINDOW: u64 = 50;
/// Commits on their way at a time.
const OUTSTANDING: u64 = 64;

#[test]
fn nothing_reported_durable_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    let mut highest = 0;
    for cycle in 0..CYCLES {
        let life = Duration::from_millis(60 + cycle * 37 % 200);
        acknowledged = acknowledged.max(run_child(dir.path(), life));
        let found = verify(dir.path());
        assert!(found >= acknowledged, "cycle {cycle}: {acknowledged} reported, {found} found");
        highest = found;
    }
    println!("{CYCLES} kills: {acknowledged} commits reported durable, {highest} found, lost 0");
    assert!(acknowledged > CYCLES, "the child did work: {acknowledged}");
}

/// Starts this test binary as a child, kills it after `life`, and gives back the
/// highest number that it reported as durable.
fn run_child(dir: &Path, life: Duration) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = thread::spawn(move || {
        let numbers = lines.map_while(Result::ok).filter_map(|line| {
            // The last line may be cut short.
            line.strip_prefix("durable ")?.strip_suffix(';')?.parse::<u64>().ok()
        });
        numbers.max().unwrap_or(0)
    });
    thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Expects a whole number of commits: an unbroken window of intact entries. Returns
/// the highest.
fn verify(dir: &Path) -> u64 {
    let (contents, loaded) = load(dir);
    assert!(loaded.is_clean(), "{loaded:?}");
    let Some(session) = contents.snapshot.sessions.first() else { return 0 };
    let queue = contents.queue(1);
    let numbers: Vec<u64> = queue.iter().map(|entry| entry.sequence).collect();
    let highest = numbers.last().copied().unwrap_or(0);
    let expected: Vec<u64> = (highest.saturating_sub(WINDOW) + 1..=highest).collect();
    assert_eq!(numbers, expected, "a commit was torn");
    let received: Vec<u64> = session.received.iter().map(|id| u64::from(id.get())).collect();
    assert_eq!(received, if highest == 0 { vec![] } else { vec![highest % 60_000 + 1] });
    for entry in queue {
        assert_eq!(entry.body, Some(message("kill/9", length(entry.sequence))));
    }
    highest
}

/// Some long enough to be cut in pieces.
fn length(number: u64) -> usize {
    if number.is_multiple_of(7) { 9_000 } else { 500 }
}

fn commit(number: u64) -> Commit {
    let id = |number: u64| u16::try_from(number % 60_000 + 1).unwrap();
    let mut ops: Vec<Op> = vec![
        put_session(1),
        put(1, number, number, &message("kill/9", length(number))),
        remove_received(1, id(number - 1)),
        put_received(1, id(number)),
    ];
    if let Some(oldest) = number.checked_sub(WINDOW).filter(|oldest| *oldest > 0) {
        ops.push(remove(1, oldest));
    }
    // Only what is synced is reported; what is not may survive all the same.
    let urgency = if number.is_multiple_of(3) { Urgency::Whenever } else { Urgency::Now };
    commit_of(ops, number, 1_000, urgency)
}

#[test]
#[ignore = "runs as a child of nothing_reported_durable_is_lost_by_kill_9"]
fn child() {
    let dir = env::var_os(DIR).expect("the parent names the directory");
    let mut store = disk(Path::new(&dir));
    store.load().unwrap();
    let last = queue(&mut store, SessionKey(1)).last().map_or(0, |entry| entry.sequence);
    let (done, durable) = mpsc::channel();
    let report = Box::new(move |event: Event<()>| {
        if let Event::Committed { upto, .. } = event {
            // One write: a line is whole or missing.
            std::io::stdout().write_all(format!("durable {};\n", upto.0).as_bytes()).unwrap();
            std::io::stdout().flush().unwrap();
            done.send(upto.0).unwrap();
        }
    });
    let settings =
        CommitterSettings { group_delay: Duration::from_millis(1), ..Default::default() };
    let committer = Committer::spawn(Box::new(store), settings, report).unwrap();
    let mut reached = last;
    for number in last + 1.. {
        committer.submit(commit(number));
        while number - reached >= OUTSTANDING {
            reached = durable.recv().unwrap();
        }
    }
}
