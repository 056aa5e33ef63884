//! What extensions keep survives `kill -9` when it was said to be kept.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use portcullis_store::{Change, Changed, KeyValueQuota, KeyValues, KeyValuesFound, StoreError};

const CYCLES: u64 = 15;
const DIR: &str = "PORTCULLIS_KEY_VALUES_TEST_DIR";
/// Threads that change something at a time.
const WRITERS: u64 = 4;
const WAIT: Duration = Duration::from_secs(20);
const QUOTA: KeyValueQuota = KeyValueQuota { keys: 1_000, bytes: 1 << 20 };

fn open(dir: &Path) -> (KeyValues, KeyValuesFound) {
    KeyValues::open(dir, Box::new(|event| panic!("{event:?}"))).unwrap()
}

fn increment(values: &KeyValues, key: &str) -> u64 {
    let change = Change::Increment { key: key.into(), delta: 1 };
    match values.change("counter", QUOTA, change, WAIT) {
        Ok(Changed::Number(sum)) => u64::try_from(sum).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Some long enough to be cut in pieces, and each recognisable.
fn value(number: u64) -> Vec<u8> {
    let length = if number.is_multiple_of(5) { 9_000 } else { 40 };
    number.to_be_bytes().iter().copied().cycle().take(length).collect()
}

fn set(values: &KeyValues, key: &str, value: Vec<u8>) {
    let change = Change::Set { key: key.into(), value };
    assert_eq!(values.change("counter", QUOTA, change, WAIT), Ok(Changed::Done));
}

#[test]
fn nothing_answered_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let (mut answered, mut found) = ([0; WRITERS as usize], [0; WRITERS as usize]);
    for cycle in 0..CYCLES {
        run_child(dir.path(), 4 + cycle * 5 % 13, &mut answered);
        let (values, state) = open(dir.path());
        assert_eq!((state.damaged, &state.incidents[..]), (0, &[][..]), "cycle {cycle}");
        for (writer, found) in found.iter_mut().enumerate() {
            let count = values.get("counter", &format!("n{writer}"));
            *found = count.map_or(0, |n| String::from_utf8_lossy(&n).parse().unwrap());
            let said = answered[writer];
            assert!(
                *found >= said,
                "cycle {cycle}: writer {writer} was told {said}, {found} is there"
            );
            // What was told before is older than what was told last.
            let kept = values.get("counter", &format!("v{writer}"));
            let whole = (said..=*found).any(|n| kept.as_deref() == Some(&value(n)[..]));
            assert!(said == 0 || whole, "cycle {cycle}: writer {writer}: a value was torn or lost");
        }
        values.close();
    }
    println!("{CYCLES} kills: {answered:?} answered, {found:?} found, lost 0");
    let all: u64 = answered.iter().sum();
    assert!(all >= CYCLES, "the children did work: {answered:?}");
}

/// Starts this test binary as a child, kills it when it has told of `told` changes, and notes the highest number that
/// each of its writers was answered.
fn run_child(dir: &Path, told: u64, answered: &mut [u64]) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "key_values::child", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The last line may be cut short.
    let numbers = lines.map_while(Result::ok).filter_map(|line| {
        let (writer, number) = line.strip_prefix("kept ")?.strip_suffix(';')?.split_once(' ')?;
        Some((writer.parse::<usize>().ok()?, number.parse::<u64>().ok()?))
    });
    for (count, (writer, number)) in (1..).zip(numbers) {
        if count == told {
            // The other writers are in the middle of something; what they were answered still comes.
            child.kill().unwrap();
        }
        answered[writer] = answered[writer].max(number);
    }
    child.wait().unwrap();
}

#[test]
#[ignore = "runs as a child of nothing_answered_is_lost_by_kill_9"]
fn child() {
    let dir = env::var_os(DIR).expect("the parent names the directory");
    let (values, _) = open(Path::new(&dir));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let values = &values;
            scope.spawn(move || {
                loop {
                    let number = increment(values, &format!("n{writer}"));
                    set(values, &format!("v{writer}"), value(number));
                    let line = format!("kept {writer} {number};\n");
                    // One write: a line is whole or missing.
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                    std::io::stdout().flush().unwrap();
                }
            });
        }
    });
}

#[test]
fn one_process_has_it_open_and_what_is_rewritten_takes_no_more_space() {
    let dir = tempfile::tempdir().unwrap();
    let (values, found) = open(dir.path());
    assert_eq!(found, KeyValuesFound::default());
    let again = KeyValues::open(dir.path(), Box::new(|_| {}));
    assert!(matches!(again, Err(StoreError::Locked { .. })), "{again:?}");
    values.close();
    // The database may be copied meanwhile, where it does not find room within itself.
    let (values, _) = KeyValues::open(dir.path(), Box::new(|_| {})).unwrap();
    for number in 0..400 {
        set(&values, "same", vec![u8::try_from(number % 251).unwrap(); 60_000]);
    }
    let size = fs::metadata(dir.path().join("sled/db")).unwrap().len();
    assert!(size < 12 << 20, "24 MB were written, the file has {size} bytes");
    assert_eq!(values.get("counter", "same").as_deref(), Some(&vec![148; 60_000][..]));
    values.close();
    let (values, _) = open(dir.path());
    assert_eq!(values.get("counter", "same").as_deref(), Some(&vec![148; 60_000][..]));
}
