//! The contract (`wit/`) grows and does not break: it is held to every copy of it in `wit/frozen`.
//!
//! What counts as a breakage is in `shape.rs`, and `breakages.rs` breaks the contract in each way to see that it is noticed.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where it cannot go on")]

mod breakages;
mod compare;
mod contract;
mod documented;
mod shape;

use std::fs;
use std::path::{Path, PathBuf};

use compare::compare;
use contract::Contract;

/// The folder with the contract.
fn wit() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository");
    root.join("wit")
}

/// The contract in a folder that is laid out as `wit/`.
fn read(folder: &Path) -> Contract {
    let text = |path: &str| {
        let path = folder.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    Contract::parse(&text("deps/portcullis-host/host.wit"), &text("gateway.wit"))
}

/// The frozen copies, by the version that they are called after.
fn frozen() -> Vec<(String, Contract)> {
    let entries = fs::read_dir(wit().join("frozen")).expect("there are frozen copies");
    let mut copies: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("the folder is readable");
            (entry.file_name().to_string_lossy().into_owned(), read(&entry.path()))
        })
        .collect();
    copies.sort_by(|(one, _), (other, _)| one.cmp(other));
    copies
}

#[test]
fn the_contract_breaks_no_promise() {
    let now = read(&wit());
    let copies = frozen();
    let mut wrong = Vec::new();
    let mut held_to = 0;
    for (version, frozen) in &copies {
        assert_eq!(*version, frozen.version, "wit/frozen/{version} is the copy of that version");
        if frozen.line() == now.line() {
            held_to += 1;
            wrong.extend(compare(frozen, &now));
        }
    }
    assert!(held_to > 0, "no copy in wit/frozen is of the line {}", now.line());
    assert!(
        wrong.is_empty(),
        "components that were built for an earlier version would not load any more:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_version_is_not_older_than_what_was_frozen() {
    let number = |version: &str| {
        let parts = version.split('.').map(|part| part.parse::<u32>().expect("a version"));
        parts.collect::<Vec<_>>()
    };
    let now = read(&wit()).version;
    for (version, _) in frozen() {
        assert!(number(&now) >= number(&version), "wit/ is {now}, and {version} was frozen");
    }
}
