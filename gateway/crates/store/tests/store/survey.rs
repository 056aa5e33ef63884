//! Looking into stores on disk, of gateways that run and of those that do not.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use broker::durable::{Op, Urgency};
use mqtt::QoS;
use portcullis_store::{Finding, MemoryStore, Store, StoreError, Survey, compact};
use proptest::prelude::*;

use crate::harness::{
    Contents, disk, message, put, put_received, put_retained, put_session, put_subscription,
    release, remove,
};

fn survey(dir: &Path) -> (Survey, Vec<Finding>) {
    let scratch = std::env::temp_dir();
    let until = Instant::now() + Duration::from_secs(60);
    let mut survey = loop {
        match Survey::of(dir, &scratch) {
            // Where something writes all the time it may take more than one try.
            Err(StoreError::Engine { action: "copy the database", .. })
                if Instant::now() < until => {}
            other => break other.unwrap(),
        }
    };
    let mut findings = Vec::new();
    survey.verify(&mut |finding| findings.push(finding)).unwrap();
    (survey, findings)
}

fn contents(survey: &mut Survey) -> Contents {
    let mut contents = Contents::default();
    contents.snapshot.sessions = survey.sessions().to_vec();
    contents.snapshot.retained = survey.retained().to_vec();
    for session in contents.snapshot.sessions.clone() {
        let queue = contents.queues.entry(session.key).or_default();
        let read = survey.queue(session.key, |entry| {
            queue.push(entry);
            Ok::<_, StoreError>(())
        });
        read.unwrap();
    }
    contents
}

/// Every file below `dir` with its content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

fn any_op() -> impl Strategy<Value = Op> {
    let session = || 0..4_u32;
    let sequence = || 0..400_u64;
    prop_oneof![
        3 => session().prop_map(put_session),
        1 => session().prop_map(|s| put_subscription(s, "a/+", QoS::AtLeastOnce)),
        16 => (session(), sequence(), 0..60_u64).prop_map(|(s, n, m)| {
            put(s, n, m, &message("t/u", [10, 100, 1_000, 20_000][usize::try_from(m % 4).unwrap()]))
        }),
        2 => (session(), sequence()).prop_map(|(s, n)| release(s, n)),
        4 => (session(), sequence()).prop_map(|(s, n)| remove(s, n)),
        1 => (session(), 1..4_u16).prop_map(|(s, id)| put_received(s, id)),
        1 => (0..900_usize).prop_map(|len| put_retained("r", len)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// While it is open, after it was closed, and after it was compacted.
    #[test]
    fn a_survey_shows_what_is_there_and_changes_nothing(
        commits in prop::collection::vec(prop::collection::vec(any_op(), 0..24), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut memory, mut disk) = (MemoryStore::new(), disk(dir.path()));
        disk.load().unwrap();
        // What belongs to no session is damage, and does not come of a broker.
        let sessions: Vec<Op> = (0..4).map(put_session).collect();
        for ops in std::iter::once(&sessions).chain(&commits) {
            memory.commit(ops, Urgency::Now).unwrap();
            disk.commit(ops, Urgency::Now).unwrap();
            disk.maintain().unwrap();
        }
        let loaded = memory.load().unwrap();
        let mut expected = Contents::of(&mut memory, &loaded);
        expected.snapshot.next_session = 0;
        for stage in ["open", "closed", "compacted"] {
            let before = files(dir.path());
            let (mut survey, findings) = survey(dir.path());
            prop_assert_eq!(findings, vec![], "{}", stage);
            prop_assert_eq!(contents(&mut survey), expected.clone(), "{}", stage);
            drop(survey);
            prop_assert!(files(dir.path()) == before, "{stage}: a file has changed");
            match stage {
                "open" => {
                    let refused = compact(dir.path());
                    let refused = matches!(refused, Err(StoreError::Locked { .. }));
                    prop_assert!(refused);
                    disk.close();
                    disk = self::disk(tempfile::tempdir().unwrap().path());
                }
                _ => drop(compact(dir.path()).unwrap()),
            }
        }
    }
}

/// Ends what waits for it when this value goes, in a panic too.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Checkpoints, new segments and removed ones all the time; each look at it is of one moment.
#[test]
fn a_store_that_is_written_is_seen_at_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = disk(dir.path());
    store.load().unwrap();
    store.commit(&[put_session(1)], Urgency::Now).unwrap();
    let (enough, checkpoints) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            // The queue is never empty, and moves on.
            for n in (0..).step_by(8).take_while(|_| !enough.load(Ordering::Relaxed)) {
                let put = (n..n + 8).map(|n| put(1, n, n, &message("t", 2_000)));
                let gone = (n..n + 8).filter_map(|n| n.checked_sub(50)).map(|n| remove(1, n));
                store.commit(&put.chain(gone).collect::<Vec<_>>(), Urgency::Now).unwrap();
                let done = store.maintain().unwrap().checkpoints;
                checkpoints.fetch_add(done, Ordering::Relaxed);
                // Whoever looks needs a moment in which nothing is written, on a busy machine too.
                thread::sleep(Duration::from_millis(50));
            }
        });
        let _stop = Stop(&enough);
        let mut looks = 0;
        while looks < 20 || checkpoints.load(Ordering::Relaxed) < 20 {
            looks += 1;
            let (mut survey, findings) = survey(dir.path());
            assert_eq!(findings, []);
            let queue = contents(&mut survey).queue(1).to_vec();
            assert!(queue.len() <= 58);
            let sequences: Vec<u64> = queue.iter().map(|entry| entry.sequence).collect();
            let first = sequences.first().copied().unwrap_or(0);
            let run: Vec<u64> = (first..).take(sequences.len()).collect();
            assert_eq!(sequences, run);
        }
    });
}

#[test]
fn where_there_is_no_store_none_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    for dir in [dir.path(), &absent] {
        let looked = Survey::of(dir, &std::env::temp_dir()).err();
        assert!(matches!(looked, Some(StoreError::Absent { .. })), "{looked:?}");
        assert!(matches!(compact(dir), Err(StoreError::Absent { .. })));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Damage anywhere in the files: what is lost is told of.
#[test]
fn damage_is_told_of_and_the_original_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = disk(dir.path());
    store.load().unwrap();
    store.commit(&[put_session(1), put_retained("r", 100)], Urgency::Now).unwrap();
    for n in 0..400 {
        store.commit(&[put(1, n, n, &message("t", 700))], Urgency::Now).unwrap();
        store.maintain().unwrap();
    }
    store.close();
    drop(store);
    let whole = contents(&mut survey(dir.path()).0);
    let sound = files(dir.path());
    let mut told = 0;
    for (path, content) in sound.iter().filter(|(path, _)| !path.ends_with("reserve")) {
        for part in 0..12 {
            let mut damaged = content.clone();
            let at = damaged.len() * part / 12;
            damaged.iter_mut().skip(at).take(64).for_each(|byte| *byte ^= 0x55);
            fs::write(path, &damaged).unwrap();
            let place = format!("{} at {at}", path.display());
            match Survey::of(dir.path(), &std::env::temp_dir()) {
                Ok(mut survey) => {
                    let mut findings = Vec::new();
                    survey.verify(&mut |finding| findings.push(finding)).unwrap();
                    assert!(contents(&mut survey) == whole || !findings.is_empty(), "{place}");
                    told += usize::from(!findings.is_empty());
                }
                Err(error) => panic!("{place}: {error}"),
            }
            assert!(fs::read(path).unwrap() == damaged, "{place}: it was changed");
            fs::write(path, content).unwrap();
        }
    }
    assert!(told > 20, "{told}");
}
