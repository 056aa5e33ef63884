//! The committed fuzz corpus: every input passes, and together they bring about everything that there is.

#![allow(clippy::expect_used, clippy::panic, reason = "a check says what it found by panicking")]

use std::fs;
use std::path::Path;

mod checks;

use checks::Reached;

#[test]
fn session() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/session");
    let mut reached = Reached::new();
    for entry in fs::read_dir(&folder).expect("the corpus is committed") {
        let path = entry.expect("a file of the corpus").path();
        eprintln!("{}", path.display());
        reached.extend(checks::session(&fs::read(&path).expect("a readable file")));
    }
    let all: Reached = checks::ALL.concat().into_iter().collect();
    let missing: Vec<_> = all.difference(&reached).collect();
    assert!(missing.is_empty(), "no input of {} brings about {missing:?}", folder.display());
}
