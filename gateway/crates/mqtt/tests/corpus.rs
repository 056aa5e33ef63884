//! The committed fuzz corpus: that it is what its maker makes, and that every input passes its check.
//!
//! `PORTCULLIS_WRITE_CORPUS=1 cargo test -p portcullis-mqtt --test corpus` writes the files anew. Inputs that
//! fuzzing found are kept beside them under names that begin with `found-`.

#![allow(clippy::expect_used, clippy::panic, reason = "a check says what it found by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

mod checks;
mod made;

use made::Inputs;
use portcullis_mqtt::Decoded;

/// Set to write the files rather than to compare them.
const WRITE: &str = "PORTCULLIS_WRITE_CORPUS";

/// What the names of inputs begin with that were found and not made.
const FOUND: &str = "found-";

#[test]
fn decode() {
    replay("decode", &made::decode(), checks::decode);
}

#[test]
fn roundtrip() {
    replay("roundtrip", &made::roundtrip(), checks::roundtrip);
}

#[test]
fn topic() {
    replay("topic", &made::topic(), checks::topic);
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Compares the committed inputs of `target` with those made, and gives every one to `check`.
fn replay(target: &str, made: &Inputs, check: fn(&[u8])) {
    let folder = folder(target);
    if std::env::var_os(WRITE).is_some() {
        write(&folder, made);
    }
    let mut committed = read(&folder);
    committed.values().for_each(|input| check(input));
    assert!(committed.len() >= 40, "{} inputs are too few to be the corpus", committed.len());
    committed.retain(|name, _| !name.starts_with(FOUND));
    let names = |inputs: &Inputs| inputs.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(made), "set {WRITE}=1 to write the corpus anew");
    for (name, input) in made {
        assert_eq!(&committed[name], input, "{name}: set {WRITE}=1 to write the corpus anew");
    }
}

fn read(folder: &Path) -> Inputs {
    let files = fs::read_dir(folder).expect("the corpus is committed");
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.expect("a file of the corpus").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read(&path).expect("a readable file"))
    };
    files.map(file).collect()
}

fn write(folder: &Path, made: &Inputs) {
    fs::create_dir_all(folder).expect("a folder for the corpus");
    for name in read(folder).keys().filter(|name| !name.starts_with(FOUND)) {
        fs::remove_file(folder.join(name)).expect("an old input goes");
    }
    for (name, input) in made {
        fs::write(folder.join(name), input).expect("a new input is written");
    }
}

#[test]
fn good_inputs_are_packets_and_bad_ones_are_not() {
    for (name, input) in made::decode() {
        let (choice, bytes) = input.split_first().expect("a choice of decoder");
        let found = checks::decoder(*choice).decode(bytes);
        match name.split('-').next() {
            Some("good") => {
                let whole = matches!(found, Ok(Decoded::Packet { len, .. }) if len == bytes.len());
                assert!(whole, "{name} is {found:?}");
            }
            Some("bad") => {
                assert!(!matches!(found, Ok(Decoded::Packet { .. })), "{name}: {found:?}")
            }
            _ => {}
        }
    }
}

#[test]
fn the_corpus_of_decode_reaches_every_kind_of_answer() {
    let mut answers = BTreeSet::new();
    for input in made::decode().values() {
        let (choice, bytes) = input.split_first().expect("a choice of decoder");
        answers.insert(match checks::decoder(*choice).decode(bytes) {
            Ok(Decoded::Packet { packet, .. }) => packet.kind().to_string(),
            Ok(Decoded::Incomplete { .. }) => "incomplete".to_owned(),
            Err(error) => {
                let debug = format!("{error:?}");
                debug.split([' ', '{']).next().unwrap_or_default().to_owned()
            }
        });
    }
    for expected in made::ANSWERS {
        assert!(answers.contains(*expected), "no input of the corpus is answered with {expected}");
    }
}
