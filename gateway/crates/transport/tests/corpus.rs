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
fn web_frames() {
    replay("web_frames", checks::web_frames, checks::OF_WEB_FRAMES);
}

#[test]
fn proxy_header() {
    replay("proxy_header", checks::proxy_header, checks::OF_PROXY_HEADERS);
}

#[test]
fn certificate() {
    replay("certificate", checks::certificate, checks::OF_CERTIFICATES);
}

#[test]
fn described() {
    replay("described", checks::described, checks::OF_DESCRIPTIONS);
}

fn replay(target: &str, check: fn(&[u8]) -> &'static str, all: &[&'static str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut reached = BTreeSet::new();
    for entry in fs::read_dir(&folder).expect("the corpus is committed") {
        let path = entry.expect("a file of the corpus").path();
        let answer = check(&fs::read(&path).expect("a readable file"));
        eprintln!("{}: {answer}", path.display());
        reached.insert(answer);
    }
    let missing: Vec<_> = all.iter().filter(|name| !reached.contains(*name)).collect();
    assert!(missing.is_empty(), "no input of {} brings about {missing:?}", folder.display());
}
