//! Guests of toolchains that import WASI: they load, and own nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod guest;
mod support;

use std::collections::BTreeSet;

use guest::{ACCEPT, Guest};
use portcullis_extension_host::{Capability, Failure, LoadError};
use support::{Said, client, host, spec};

/// The part of WASI that the guests here import.
const WASI: &str = "package test:wasi;
package wasi:io@0.2.3 {
  interface error { resource error; }
  interface streams {
    use error.{error};
    variant stream-error { last-operation-failed(error), closed }
    resource output-stream {
      blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
    }
  }
}
package wasi:cli@0.2.3 {
  interface stderr {
    use wasi:io/streams@0.2.3.{output-stream};
    get-stderr: func() -> output-stream;
  }
  interface exit { exit: func(status: result); }
  interface environment { get-arguments: func() -> list<string>; }
}
package wasi:random@0.2.3 {
  interface random { get-random-u64: func() -> u64; }
  interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }
}
package wasi:clocks@0.2.3 {
  interface monotonic-clock { now: func() -> u64; }
}
package wasi:filesystem@0.2.3 {
  interface types {
    resource descriptor { sync: func(); }
    open-anything: func() -> u32;
  }
  interface preopens {
    use types.{descriptor};
    get-directories: func() -> list<tuple<descriptor, string>>;
  }
}";

/// A guest that imports one function of WASI.
fn importing(interface: &'static str, name: &str, signature: &str, body: &str) -> Guest {
    Guest::authenticator(body)
        .wit(WASI, &format!("import {interface};"))
        .import(interface, name, "$call", signature)
}

fn accepted(guest: &Guest, grants: &[Capability]) -> Result<(), Failure> {
    let mut spec = spec(guest);
    spec.grants = grants.iter().copied().collect::<BTreeSet<_>>();
    let extension = host().load(spec).unwrap();
    extension.authenticate(&client("c1"), None).result.map(|_| ())
}

fn ended(guest: &Guest) -> String {
    match accepted(guest, &[]) {
        Err(Failure::Trap(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn there_are_no_arguments_and_no_directories() {
    // The answer is a list at 2048: an address and the number that must be 0.
    let none = format!(
        "(i32.store (i32.const 2052) (i32.const 7)) (call $call (i32.const 2048))
         (if (i32.load (i32.const 2052)) (then unreachable)) {ACCEPT}"
    );
    let list = "(param i32)";
    let arguments = importing("wasi:cli/environment@0.2.3", "get-arguments", list, &none);
    assert_eq!(accepted(&arguments, &[]), Ok(()));
    let directories = importing("wasi:filesystem/preopens@0.2.3", "get-directories", list, &none);
    assert_eq!(accepted(&directories, &[]), Ok(()));
}

#[test]
fn what_needs_a_file_ends_the_call_and_says_so() {
    let body = format!("(drop (call $call)) {ACCEPT}");
    let guest = importing("wasi:filesystem/types@0.2.3", "open-anything", "(result i32)", &body);
    let why = ended(&guest);
    assert!(why.contains("wasi:filesystem/types.open-anything was called"), "{why}");
}

#[test]
fn a_guest_that_exits_has_failed() {
    let body = format!("(call $call (i32.const 0)) {ACCEPT}");
    let why = ended(&importing("wasi:cli/exit@0.2.3", "exit", "(param i32)", &body));
    assert!(why.contains("ended itself"), "{why}");
}

#[test]
fn random_numbers_and_time_need_the_same_grants_as_everywhere() {
    let not_zero = format!("(if (i64.eqz (call $call)) (then unreachable)) {ACCEPT}");
    let number = "(result i64)";
    let random = importing("wasi:random/random@0.2.3", "get-random-u64", number, &not_zero);
    assert_eq!(accepted(&random, &[Capability::Random]), Ok(()));
    let why = ended(&random);
    assert!(why.contains("add \"random\" to the extension's `grants`"), "{why}");

    let clock = importing("wasi:clocks/monotonic-clock@0.2.3", "now", number, &not_zero);
    assert_eq!(accepted(&clock, &[Capability::Clock]), Ok(()));
    assert!(ended(&clock).contains("unreachable"), "without the grant it stands still at 0");
}

#[test]
fn a_seed_for_hash_tables_needs_no_grant() {
    let body = format!(
        "(call $call (i32.const 2048)) (if (i64.eqz (i64.load (i32.const 2048))) (then unreachable)) {ACCEPT}"
    );
    let guest = importing("wasi:random/insecure-seed@0.2.3", "insecure-seed", "(param i32)", &body);
    assert_eq!(accepted(&guest, &[]), Ok(()));
}

#[test]
fn what_a_guest_writes_to_its_standard_error_reaches_the_log_with_its_hook() {
    let mut guest = Guest::authenticator("");
    let text = guest.put(b"panicked: no such key\nsecond line without an end");
    let guest = guest
        .with_authenticate(&format!(
            "(call $write (call $stderr) (i32.const {text}) (i32.const 48) (i32.const 2048)) {ACCEPT}"
        ))
        .wit(WASI, "import wasi:cli/stderr@0.2.3; import wasi:io/streams@0.2.3;")
        .import("wasi:cli/stderr@0.2.3", "get-stderr", "$stderr", "(result i32)")
        .import(
            "wasi:io/streams@0.2.3",
            "[method]output-stream.blocking-write-and-flush",
            "$write",
            "(param i32 i32 i32 i32)",
        );
    let said = Said::default();
    tracing::subscriber::with_default(said.clone(), || {
        assert_eq!(accepted(&guest, &[]), Ok(()));
    });
    let said = said.lines();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("panicked: no such key"), "{said:?}");
    assert!(
        said[0].contains("hook=authenticate;") && said[0].contains("stream=stderr"),
        "{said:?}"
    );
    assert!(said[1].contains("second line without an end"), "{said:?}");
}

#[test]
fn another_version_of_wasi_is_refused() {
    let guest = Guest::authenticator(ACCEPT)
        .wit(
            "package wasi:cli@0.3.0; interface exit { exit: func(); }",
            "import wasi:cli/exit@0.3.0;",
        )
        .import("wasi:cli/exit@0.3.0", "exit", "$exit", "");
    let error = host().load(spec(&guest)).unwrap_err();
    assert!(matches!(&error, LoadError::ForbiddenImport { grant: None, .. }), "{error}");
}
