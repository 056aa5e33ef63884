//! The shipped extensions, as their fixtures have them meet a client. Each file is one that `portcullis extension test`
//! runs as well.

use std::path::Path;

use portcullis_tests::program;

fn run(name: &str) {
    let component = program().extensions.join(format!("{name}.wasm"));
    let folder = format!("../extensions/{name}/fixtures");
    workbench::run_component(component, Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
}

fn run_guest(name: &str) {
    let component = program().extensions.join(format!("{name}.wasm"));
    let folder = format!("guests/{name}/fixtures");
    workbench::run_component(component, Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
}

#[test]
fn password() {
    run("password");
}

#[test]
fn acl() {
    run("acl");
}

#[test]
fn jwt() {
    run("jwt");
}

#[test]
fn x509() {
    run("x509");
}

/// An extension that keeps, asks servers and orders: all three are scripted.
#[test]
fn probe() {
    run_guest("probe");
}

/// What becomes of messages.
#[test]
fn interceptor() {
    run_guest("interceptor");
}

/// What an observer makes of events and of new settings.
#[test]
fn observer() {
    run_guest("observer");
}

/// Cases of the probe that do not come out as expected; all that is not is shown.
const WRONG: &str = r#"
[extension]
grants = ["broker", "http", "key-value", "log"]
connections.idp.url = "https://id.example.com"
broker.publish = ["a/#"]

[[case]]
name = "a request that no script has"
connect = { username = "post-to idp /introspect token" }
http = [{ method = "POST", path = "/other", times = 2, answer = {} }]
expect = { outcome = "reject" }

[[case]]
name = "another order, and another value"
connect = { username = "publish a/b text" }
kept = { k = "v" }
expect = { outcome = "accept", orders = ["publish a/c: *"], requests = ["GET idp /x"], kept = { k = "w", l = "x" } }
"#;

#[test]
fn what_was_reached_otherwise_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, WRONG).expect("a fixture is written");
    let selection = workbench::Selection { fixtures: vec![file], filter: None };
    let mut said = Vec::new();
    let component = program().extensions.join("probe.wasm");
    let summary = workbench::test(&component, &selection, &mut said).expect("cases are run");
    assert_eq!((summary.passed, summary.failed), (0, 2));
    let said = String::from_utf8_lossy(&said).into_owned();
    for lines in [
        "wrong.toml:11: http\n    - a script for this request\n    + POST idp /introspect: token\n    +   content-type: text/plain",
        "wrong.toml:10: http: POST idp /other\n    - asked twice\n    + asked never",
        "wrong.toml:17: requests\n    - GET idp /x",
        "wrong.toml:17: orders\n    - publish a/c: *\n    + publish a/b: text",
        "wrong.toml:17: kept under \"k\"\n    - \"w\"\n    + \"v\"",
        "wrong.toml:17: kept under \"l\"\n    - \"x\"\n    + nothing",
    ] {
        assert!(said.contains(lines), "{lines}\nis not in\n{said}");
    }
}

/// Cases of the interceptor that do not come out as expected.
const OTHERWISE: &str = r#"
[extension]
grants = ["config", "log"]
messages = { publish = ["upper/#", "move/#"] }

[[case]]
name = "other messages than expected"
connect = { principal = "p" }
expect = { outcome = "abstain" }
asks = [
  { intercept-publish = "upper/a", payload = "x", expect = "replace", becomes = ["payload \"y\""] },
  { intercept-publish = "upper/a", payload = "x", expect = "discard" },
  { intercept-publish = "move/a", expect = "replace", becomes = ["topic moved/a"] },
]
"#;

#[test]
fn what_became_of_messages_otherwise_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("otherwise.toml");
    std::fs::write(&file, OTHERWISE).expect("a fixture is written");
    let selection = workbench::Selection { fixtures: vec![file], filter: None };
    let mut said = Vec::new();
    let component = program().extensions.join("interceptor.wasm");
    let summary = workbench::test(&component, &selection, &mut said).expect("a case is run");
    assert_eq!((summary.passed, summary.failed), (0, 1));
    let said = String::from_utf8_lossy(&said).into_owned();
    for lines in [
        "otherwise.toml:11: intercept-publish upper/a: becomes\n    - payload \"y\"\n    + payload \"X\"",
        "otherwise.toml:12: intercept-publish upper/a\n    - discard\n    + replace: payload \"X\"",
        "otherwise.toml:13: intercept-publish move/a\n    - replace\n    + fail 0x83 (by hook): it may not move messages to \"moved/a\"",
    ] {
        assert!(said.contains(lines), "{lines}\nis not in\n{said}");
    }
}
