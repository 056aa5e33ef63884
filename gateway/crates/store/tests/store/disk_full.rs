//! A disk that is full, and later is not, seen by a real file system: a process with
//! a limit on file sizes gets an error from `write`.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use broker::durable::Urgency;
use portcullis_store::{Committer, CommitterSettings, DiskStore, Event, Settings};

use crate::harness::{commit_of, load, message, put, put_session};

const DIR: &str = "PORTCULLIS_STORE_TEST_FULL_DIR";
const LIMIT: u64 = 3 << 20;
const PAYLOAD: usize = 3_000;
const COMMITS: u64 = 3_000;

#[test]
fn a_full_disk_acknowledges_nothing_and_recovers_without_restart() {
    let dir = tempfile::tempdir().unwrap();
    // A shell, because ignoring the signal is what turns it into an error.
    let mut child = Command::new("/bin/sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "disk_full::child", "--ignored", "--nocapture"])
        .env(DIR, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    limit_files(pid, &LIMIT.to_string());
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();

    let (mut failures, mut reported) = (0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(number) = line.strip_prefix("durable ") {
            reported = number.parse().unwrap();
        } else if let Some(error) = line.strip_prefix("failed ") {
            assert!(error.starts_with("true "), "said to be something else: {error}");
            failures += 1;
            if failures == 3 {
                limit_files(pid, "unlimited");
            }
        }
    }
    assert!(child.wait().unwrap().success());
    assert!(failures >= 3, "the limit was met: {failures}");
    assert_eq!(reported, COMMITS, "it went on by itself");
    let (contents, loaded) = load(dir.path());
    assert!(loaded.is_clean(), "{:?} {:?}", loaded.dropped, loaded.incidents);
    let found = contents.queue(1).iter().map(|entry| entry.sequence);
    assert!(found.eq(1..=COMMITS));
}

/// Sets the largest size of a file that the process may write, in bytes.
fn limit_files(pid: u32, soft: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--fsize={soft}:")])
        .status()
        .expect("prlimit of util-linux can be run");
    assert!(status.success(), "the limit of process {pid} is set");
}

#[test]
#[ignore = "runs as a child of a_full_disk_acknowledges_nothing_and_recovers_without_restart"]
fn child() {
    let dir = env::var_os(DIR).expect("the parent names the directory");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let say = |line: String| std::io::stdout().write_all(line.as_bytes()).unwrap();
    let report = Box::new(move |event: Event<()>| match event {
        Event::Committed { upto, .. } => say(format!("durable {}\n", upto.0)),
        Event::Failed { error, .. } => say(format!("failed {} {error}\n", error.is_no_space())),
        _ => {}
    });
    let settings = Settings { reserve_bytes: 0, ..Settings::default() };
    let store = Box::new(DiskStore::open(Path::new(&dir), settings).unwrap());
    let committer = Committer::spawn(store, CommitterSettings::default(), report).unwrap();
    for number in 1..=COMMITS {
        let ops = vec![put_session(1), put(1, number, number, &message("t", PAYLOAD))];
        committer.submit(commit_of(ops, number, PAYLOAD, Urgency::Now));
        if number.is_multiple_of(64) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    committer.shutdown().unwrap();
}
