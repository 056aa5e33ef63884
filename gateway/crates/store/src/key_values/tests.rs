#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{Change, Changed, KeyValueError, KeyValueEvent, KeyValueQuota, KeyValues};
use crate::memory_engine::MemoryEngine;

const WAIT: Duration = Duration::from_secs(10);
const QUOTA: KeyValueQuota = KeyValueQuota { keys: 3, bytes: 30_000 };

fn on(engine: &MemoryEngine) -> (KeyValues, Arc<Mutex<Vec<String>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let sink = Box::new(move |event| {
        seen.lock().unwrap().push(match event {
            KeyValueEvent::Failed(error) => format!("failed: {error}"),
            KeyValueEvent::Recovered => "recovered".to_owned(),
            KeyValueEvent::Incident(incident) => incident.to_string(),
        });
    });
    (KeyValues::on(Some(Box::new(engine.clone())), sink).unwrap().0, events)
}

fn set(values: &KeyValues, key: &str, value: &[u8]) -> Result<Changed, KeyValueError> {
    values.change("x", QUOTA, Change::Set { key: key.into(), value: value.into() }, WAIT)
}

fn delete(values: &KeyValues, key: &str) -> Result<Changed, KeyValueError> {
    values.change("x", QUOTA, Change::Delete { key: key.into() }, WAIT)
}

fn add(values: &KeyValues, delta: i64) -> Result<Changed, KeyValueError> {
    values.change("x", QUOTA, Change::Increment { key: "n".into(), delta }, WAIT)
}

fn swap(
    values: &KeyValues,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<Changed, KeyValueError> {
    let [expected, value] = [expected, value].map(|it| it.map(<[u8]>::to_vec));
    values.change("x", QUOTA, Change::CompareAndSet { key: "s".into(), expected, value }, WAIT)
}

#[test]
fn what_is_kept_is_there_after_a_restart_and_a_space_sees_its_own() {
    let engine = MemoryEngine::new();
    let (values, _) = on(&engine);
    assert_eq!(set(&values, "a", b"1"), Ok(Changed::Done));
    assert_eq!(set(&values, "long", &[7; 20_000]), Ok(Changed::Done));
    assert_eq!(set(&values, "long", &[8; 9_000]), Ok(Changed::Done));
    assert_eq!(delete(&values, "none"), Ok(Changed::Unchanged));
    let (again, _) = on(&engine.cut());
    assert_eq!(again.get("x", "a").as_deref(), Some(&b"1"[..]));
    assert_eq!(again.get("x", "long").as_deref(), Some(&[8; 9_000][..]));
    assert_eq!(again.get("y", "a"), None);
    assert_eq!(again.usage("x"), (2, 1 + 1 + 4 + 9_000));
    assert_eq!(delete(&again, "long"), Ok(Changed::Done));
    let entries = engine.cut().len();
    assert_eq!(set(&values, "long", b""), Ok(Changed::Done));
    assert_eq!(engine.cut().len(), entries - 2, "no piece of a longer value stays behind");
}

#[test]
fn values_are_compared_and_added_to_at_one_moment() {
    let (values, _) = on(&MemoryEngine::new());
    assert_eq!(swap(&values, Some(b"a"), Some(b"b")), Ok(Changed::Unchanged));
    assert_eq!(swap(&values, None, Some(b"a")), Ok(Changed::Done));
    assert_eq!(swap(&values, None, Some(b"c")), Ok(Changed::Unchanged));
    assert_eq!(swap(&values, Some(b"a"), Some(b"b")), Ok(Changed::Done));
    assert_eq!(swap(&values, Some(b"b"), None), Ok(Changed::Done));
    assert_eq!(swap(&values, None, None), Ok(Changed::Done));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    add(&values, 1).unwrap();
                }
            });
        }
    });
    assert_eq!(add(&values, 0), Ok(Changed::Number(400)));
    assert_eq!(values.get("x", "n").as_deref(), Some(&b"400"[..]));
    assert_eq!(add(&values, i64::MAX), Ok(Changed::Number(i64::MAX)));
    assert_eq!(add(&values, i64::MIN), Ok(Changed::Number(-1)));
    assert_eq!(set(&values, "n", b"x"), Ok(Changed::Done));
    assert_eq!(add(&values, 1), Err(KeyValueError::NotANumber));
}

#[test]
fn a_quota_bounds_what_grows_and_nothing_else() {
    let (values, _) = on(&MemoryEngine::new());
    for key in ["a", "b", "c"] {
        assert_eq!(set(&values, key, &[0; 9_000]), Ok(Changed::Done));
    }
    assert_eq!(set(&values, "d", b""), Err(KeyValueError::Keys { limit: 3 }));
    let (wanted, limit) = (3 + 18_000 + 12_001, 30_000);
    assert_eq!(set(&values, "a", &[0; 12_001]), Err(KeyValueError::Bytes { wanted, limit }));
    assert_eq!(set(&values, "a", &[0; 11_997]), Ok(Changed::Done));
    let less = KeyValueQuota { keys: 1, bytes: 10 };
    let change = |key: &str, bytes: usize| {
        let change = Change::Set { key: key.into(), value: vec![1; bytes] };
        values.change("x", less, change, WAIT)
    };
    assert_eq!(change("a", 11_998), Err(KeyValueError::Bytes { wanted: 30_001, limit: 10 }));
    assert_eq!(change("a", 5), Ok(Changed::Done), "less is possible");
    assert_eq!(delete(&values, "b"), Ok(Changed::Done));
    assert_eq!(
        values.change("y", less, Change::Delete { key: "a".into() }, WAIT),
        Ok(Changed::Unchanged)
    );
}

#[test]
fn keys_come_in_pages() {
    let (values, _) = on(&MemoryEngine::new());
    let quota = KeyValueQuota { keys: 100, bytes: 10_000 };
    for key in ["a", "b/", "b/1", "b/2", "b/3", "b0", "ä"] {
        let change = Change::Set { key: key.into(), value: Vec::new() };
        values.change("x", quota, change, WAIT).unwrap();
    }
    let page = |after: Option<&str>, limit| values.keys("x", "b/", after, limit);
    assert_eq!(page(None, 2), (vec!["b/".into(), "b/1".into()], true));
    assert_eq!(page(Some("b/1"), 2), (vec!["b/2".into(), "b/3".into()], false));
    assert_eq!(page(Some("a"), 1), (vec!["b/".into()], true));
    assert_eq!(page(Some("z"), 5), (vec![], false));
    assert_eq!(page(None, 0), (vec![], true));
    assert_eq!(values.keys("x", "", None, 100).0.len(), 7);
}

#[test]
fn a_failure_changes_nothing_and_the_disk_is_what_counts_afterwards() {
    let engine = MemoryEngine::new();
    let (values, events) = on(&engine);
    set(&values, "a", b"1").unwrap();
    engine.fail_next([Some(false)]);
    assert!(matches!(set(&values, "a", b"2"), Err(KeyValueError::Disk(_))));
    assert_eq!(values.get("x", "a").as_deref(), Some(&b"1"[..]));
    assert_eq!(set(&values, "b", b"1"), Ok(Changed::Done));
    // This one fails when it has been written.
    engine.fail_next([Some(true)]);
    assert!(matches!(set(&values, "a", b"3"), Err(KeyValueError::Disk(_))));
    assert_eq!(values.get("x", "a").as_deref(), Some(&b"1"[..]), "nobody was told of it");
    assert_eq!(set(&values, "b", b"2"), Ok(Changed::Done));
    assert_eq!(values.get("x", "a").as_deref(), Some(&b"3"[..]));
    engine.fill(true);
    for _ in 0..3 {
        assert!(
            matches!(set(&values, "b", b"3"), Err(KeyValueError::Disk(why)) if why.contains("space"))
        );
    }
    engine.fill(false);
    assert_eq!(set(&values, "b", b"4"), Ok(Changed::Done));
    let said: Vec<String> =
        events.lock().unwrap().iter().map(|e| e.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(said, ["failed", "recovered"].repeat(3), "each once");
}

#[test]
fn a_damaged_record_is_set_aside_and_the_rest_is_there() {
    let engine = MemoryEngine::new();
    let (values, _) = on(&engine);
    for key in ["a", "b", "c"] {
        set(&values, key, key.as_bytes()).unwrap();
    }
    let damaged = engine.cut();
    assert!(damaged.damage(engine.len() - 1, 6, 0x10));
    let sink = Box::new(|_| {});
    let (again, found) = KeyValues::on(Some(Box::new(damaged.clone())), sink).unwrap();
    assert_eq!((found.keys, found.damaged), (2, 1));
    assert_eq!(again.keys("x", "", None, 9).0.len(), 2);
    let (_, found) = KeyValues::on(Some(Box::new(damaged.cut())), Box::new(|_| {})).unwrap();
    assert_eq!((found.keys, found.damaged), (2, 0), "once");
}

#[test]
fn who_comes_after_the_end_is_told_so() {
    let (values, _) = on(&MemoryEngine::new());
    set(&values, "a", b"1").unwrap();
    values.close();
    values.close();
    assert_eq!(set(&values, "a", b"2"), Err(KeyValueError::Closed));
    assert_eq!(values.get("x", "a").as_deref(), Some(&b"1"[..]));
}
