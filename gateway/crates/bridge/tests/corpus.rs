//! The committed fuzz corpus: every input passes, and together they bring about everything that there is.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a check says what it found by panicking, and where before it"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

mod checks;

#[test]
fn envelope() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/envelope");
    let mut reached = BTreeSet::new();
    for entry in fs::read_dir(&folder).expect("the corpus is committed") {
        let path = entry.expect("a file of the corpus").path();
        let answer = checks::envelope(&fs::read(&path).expect("a readable file"));
        eprintln!("{}: {answer}", path.display());
        reached.insert(answer);
    }
    let missing: Vec<_> =
        checks::OF_ENVELOPES.iter().filter(|name| !reached.contains(*name)).collect();
    assert!(missing.is_empty(), "no input of {} brings about {missing:?}", folder.display());
}
