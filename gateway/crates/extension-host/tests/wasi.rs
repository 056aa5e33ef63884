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
      check-write: func() -> result<u64, stream-error>;
      write: func(contents: list<u8>) -> result<_, stream-error>;
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

/// Runtimes write as much at a time as they are offered: that must be within what may cross in one call.
#[test]
fn as_much_as_is_offered_can_be_written() {
    let body = format!(
        "(local.set $secret (call $stderr)) \
         (call $check (local.get $secret) (i32.const 2048)) \
         (if (i32.load8_u (i32.const 2048)) (then unreachable)) \
         (if (i64.lt_u (i64.load (i32.const 2056)) (i64.const 4096)) (then unreachable)) \
         (memory.fill (i32.const 65536) (i32.const 120) (i32.wrap_i64 (i64.load (i32.const 2056)))) \
         (call $write (local.get $secret) (i32.const 65536) (i32.wrap_i64 (i64.load (i32.const 2056))) (i32.const 2064)) \
         (if (i32.load8_u (i32.const 2064)) (then unreachable)) {ACCEPT}"
    );
    let method = |guest: Guest, name: &str, local: &str, signature: &str| {
        guest.import(
            "wasi:io/streams@0.2.3",
            &format!("[method]output-stream.{name}"),
            local,
            signature,
        )
    };
    let guest = Guest::authenticator(&body)
        .wit(WASI, "import wasi:cli/stderr@0.2.3; import wasi:io/streams@0.2.3;")
        .import("wasi:cli/stderr@0.2.3", "get-stderr", "$stderr", "(result i32)");
    let guest = method(guest, "check-write", "$check", "(param i32 i32)");
    let guest = method(guest, "write", "$write", "(param i32 i32 i32 i32)");
    let said = Said::default();
    tracing::subscriber::with_default(said.clone(), || {
        assert_eq!(accepted(&guest, &[]), Ok(()));
    });
    assert!(said.lines().iter().any(|line| line.contains(&"x".repeat(100))), "{:?}", said.lines());
}

/// What an operator is told to grant is enough for what the component can reach.
#[test]
fn what_is_behind_wasi_is_among_the_grants() {
    let facts = |guest: &Guest| host().examine("test", &guest.build()).unwrap();
    let number = "(result i64)";
    let random = importing("wasi:random/random@0.2.3", "get-random-u64", number, ACCEPT);
    assert_eq!(facts(&random).grants(), BTreeSet::from(["random"]));
    assert_eq!(facts(&random).asked().count(), 0, "the contract has nothing of it");
    let clock = importing("wasi:clocks/monotonic-clock@0.2.3", "now", number, ACCEPT);
    assert_eq!(facts(&clock).grants(), BTreeSet::from(["clock"]));
    let seed = importing("wasi:random/insecure-seed@0.2.3", "insecure-seed", "(param i32)", ACCEPT);
    assert_eq!(facts(&seed).grants(), BTreeSet::new());
}

/// Each handle takes a place in a table of the gateway, and stays there until it is given back.
#[test]
fn a_guest_that_hoards_handles_loses_its_instance_and_no_more() {
    let body = format!(
        "(local.set $secret (i32.const 20)) (loop $again (drop (call $call)) \
         (br_if $again (local.tee $secret (i32.sub (local.get $secret) (i32.const 1))))) {ACCEPT}"
    );
    let guest = importing("wasi:cli/stderr@0.2.3", "get-stderr", "(result i32)", &body);
    let mut spec = spec(&guest);
    spec.limits.instances = 1;
    let extension = host().load(spec).unwrap();
    let call = || extension.authenticate(&client("c1"), None).result;
    // Three times twenty fit into the table, four times do not.
    for _ in 0..3 {
        for _ in 0..3 {
            call().unwrap();
        }
        let failure = call().unwrap_err();
        assert!(failure.to_string().contains("handle limit"), "{failure}");
    }
    assert_eq!(extension.stats().rebuilt, 2);
    call().unwrap();
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
