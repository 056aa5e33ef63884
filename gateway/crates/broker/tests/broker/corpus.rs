//! The committed fuzz corpus: every input passes, and together they bring about everything that there is.

use std::fs;
use std::path::Path;

use crate::checks::{self, Reached};

#[test]
fn the_fuzz_corpus_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/broker");
    let mut reached = Reached::new();
    for entry in fs::read_dir(&folder).expect("the corpus is committed") {
        let path = entry.expect("a file of the corpus").path();
        eprintln!("{}", path.display());
        reached.extend(checks::broker(&fs::read(&path).expect("a readable file")));
    }
    let all: Reached = checks::ALL.concat().into_iter().collect();
    let missing: Vec<_> = all.difference(&reached).collect();
    assert!(missing.is_empty(), "no input of {} brings about {missing:?}", folder.display());
}
