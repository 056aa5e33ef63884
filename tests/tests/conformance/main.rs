//! Conformance: what both versions of the specification say of a server, one script per statement, played to the
//! broker as a value and over a socket to the real gateway.
//!
//! | to | read |
//! |---|---|
//! | know what is tested, and what is not | `tests/conformance/STATEMENTS.md`, which this writes |
//! | write a script | `script`, `words` and `raw`; `tests/conformance/v5/*.txt` for examples |
//! | see how a script is played | `play`; `pure` and `socket` are the two stages |
//!
//! `CONFORMANCE=WORD cargo test -p portcullis-tests --test conformance` plays only scripts whose title or place
//! has the word. `CONFORMANCE_WRITE=1` writes the table anew.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where it cannot go on"
)]

mod heard;
mod packet;
mod play;
mod pure;
mod raw;
mod script;
mod socket;
mod statements;
mod table;
mod words;

/// A part of a component that accepts everybody.
#[path = "../../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;

use std::path::{Path, PathBuf};

use script::{Script, Where};

/// What both stages allow, so that scripts reach it with few packets.
const RECEIVE_MAXIMUM: u16 = 5;
/// Bytes of the largest packet that both stages take.
const MAX_PACKET_SIZE: u32 = 100 * 1024;

#[test]
fn every_script_holds_for_the_broker_alone() {
    let scripts = chosen(Where::Broker);
    let failures: Vec<_> = scripts
        .iter()
        .filter_map(|script| {
            let stage = pure::Pure::new(&script.with);
            stage.and_then(|stage| play::play(script, "", stage)).err()
        })
        .collect();
    report(scripts.len(), failures);
}

#[test]
fn every_script_holds_over_a_socket() {
    let scripts = chosen(Where::Socket);
    let failures = socket::play_all(&scripts, Where::Socket);
    report(scripts.len(), failures);
}

#[test]
fn every_script_holds_over_a_websocket() {
    let scripts = chosen(Where::WebSocket);
    let failures = socket::play_all(&scripts, Where::WebSocket);
    report(scripts.len(), failures);
}

#[test]
fn every_statement_is_tested_or_says_why_not() {
    let scripts = script::all(&folder());
    let faults = statements::faults(&statements::all(&folder()), &scripts);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_table_of_statements_is_up_to_date() {
    let path = folder().join("STATEMENTS.md");
    let table = table::table(&statements::all(&folder()), &script::all(&folder()));
    if std::env::var_os("CONFORMANCE_WRITE").is_some() {
        std::fs::write(&path, &table).expect("the table can be written");
    }
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        have == table,
        "{} is not what scripts and statements say; write it anew:\n    \
         CONFORMANCE_WRITE=1 cargo test -p portcullis-tests --test conformance table",
        path.display()
    );
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

/// The scripts for this stage that were asked for.
fn chosen(stage: Where) -> Vec<Script> {
    let word = std::env::var("CONFORMANCE").unwrap_or_default();
    let mut scripts = script::all(&folder());
    scripts.retain(|script| script.runs(stage) && script.name().contains(&word));
    assert!(!scripts.is_empty(), "no script has {word:?} in its title or place");
    scripts
}

fn report(count: usize, failures: Vec<String>) {
    println!("{count} scripts, {} failed", failures.len());
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}
