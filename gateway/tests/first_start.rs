//! `portcullis init`, `user` and `check`, as an operator meets them.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn portcullis(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complained(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder for a site, and one with what stands for the shipped extensions.
fn folders() -> (TempDir, TempDir) {
    let extensions = tempfile::tempdir().unwrap();
    for name in ["password.wasm", "acl.wasm"] {
        fs::write(extensions.path().join(name), name).unwrap();
    }
    (tempfile::tempdir().unwrap(), extensions)
}

fn init(dir: &Path, extensions: &Path) -> Output {
    let (dir, extensions) = (dir.to_str().unwrap(), extensions.to_str().unwrap());
    portcullis(&["init", "--dir", dir, "--extensions", extensions, "--name", "gw.example"], "")
}

/// The password that init showed.
fn shown_password(text: &str) -> &str {
    text.split_once("password ").unwrap().1.split_whitespace().next().unwrap()
}

#[test]
fn a_first_start_makes_everything_and_protects_what_is_secret() {
    let (parent, extensions) = folders();
    let dir = parent.path().join("site");
    let text = said(&init(&dir, extensions.path()));
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    for secret in ["users.txt", "pki/ca.key", "pki/server.key"] {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    for file in ["gateway.toml", "acl.txt", "pki/ca.pem", "pki/server.pem"] {
        assert!(mode(file) & 0o400 != 0, "{file}");
    }
    assert_eq!(fs::read(dir.join("extensions/acl.wasm")).unwrap(), b"acl.wasm");

    let password = shown_password(&text);
    assert_eq!(password.len(), 20);
    let users = fs::read_to_string(dir.join("users.txt")).unwrap();
    assert!(!users.contains(password), "only the hash is kept");
    let hash = users.lines().find_map(|line| line.strip_prefix("demo:")).unwrap();
    let check = auth::password::verify(password.as_bytes(), hash);
    assert_eq!(check, auth::password::Check::Match);
    let ca = fs::canonicalize(dir.join("pki/ca.pem")).unwrap();
    for program in ["mosquitto_sub", "mosquitto_pub"] {
        let command = format!(
            "{program} -h localhost -p 8883 --cafile {} -u demo -P '{password}' ",
            ca.display()
        );
        assert!(text.contains(&command), "{command} is not in {text}");
    }
}

#[test]
fn the_configuration_that_it_makes_has_no_faults() {
    let (dir, extensions) = folders();
    said(&init(dir.path(), extensions.path()));
    let checked = config::load(&dir.path().join("gateway.toml")).unwrap();
    let chain: Vec<&str> = checked.listeners[0].chain.iter().map(String::as_str).collect();
    assert_eq!(chain, ["password", "acl"]);
    let bind = checked.listeners[0].bind.to_string();
    assert!(bind.ends_with(":8883"), "{bind}");
}

#[test]
fn a_second_start_changes_nothing_and_shows_no_secret() {
    let (dir, extensions) = folders();
    let password = shown_password(&said(&init(dir.path(), extensions.path()))).to_owned();
    let files = ["gateway.toml", "users.txt", "acl.txt", "pki/ca.pem", "pki/server.key"];
    let read = || files.map(|name| fs::read(dir.path().join(name)).unwrap());
    let before = read();
    let text = said(&init(dir.path(), extensions.path()));
    assert!(before == read(), "a file has changed");
    assert!(!text.contains(&password));
    assert!(text.contains("users.txt") && text.contains("portcullis user add"), "{text}");
}

#[test]
fn a_first_start_that_was_cut_short_is_completed() {
    let (dir, extensions) = folders();
    said(&init(dir.path(), extensions.path()));
    let ca = fs::read(dir.path().join("pki/ca.pem")).unwrap();
    fs::remove_file(dir.path().join("gateway.toml")).unwrap();
    let users = dir.path().join("users.txt");
    let mut text = fs::read_to_string(&users).unwrap();
    text.push_str("ann:hash\n");
    fs::write(&users, text).unwrap();

    let text = said(&init(dir.path(), extensions.path()));
    assert_eq!(fs::read(dir.path().join("pki/ca.pem")).unwrap(), ca, "clients trust it already");
    let users = fs::read_to_string(&users).unwrap();
    assert!(users.contains("ann:hash\n"), "other users stay");
    let hash = users.lines().find_map(|line| line.strip_prefix("demo:")).unwrap();
    let check = auth::password::verify(shown_password(&text).as_bytes(), hash);
    assert_eq!(check, auth::password::Check::Match, "the credential shown last is the one");
}

#[test]
fn extensions_that_are_missing_are_named() {
    let (dir, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let why = complained(&init(dir.path(), empty.path()), 1);
    assert!(why.contains("password.wasm") && why.lines().count() == 1, "{why}");
    assert!(!dir.path().join("gateway.toml").exists());
}

#[test]
fn users_are_added_changed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users.txt");
    let path = file.to_str().unwrap();
    let verify = |name: &str, password: &str| {
        let users = fs::read_to_string(&file).unwrap();
        let hash =
            users.lines().find_map(|line| line.strip_prefix(&format!("{name}:")))?.to_owned();
        Some(auth::password::verify(password.as_bytes(), &hash) == auth::password::Check::Match)
    };
    let made = said(&portcullis(&["user", "add", "ann", "--file", path], ""));
    let password = made.split_once("again: ").unwrap().1.lines().next().unwrap();
    assert_eq!(verify("ann", password), Some(true));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let arguments = ["user", "add", "ann", "--file", path, "--password-stdin"];
    let text = said(&portcullis(&arguments, "own choice\n"));
    assert!(!text.contains("own choice"), "{text}");
    assert_eq!(verify("ann", "own choice"), Some(true));
    assert_eq!(verify("ann", password), Some(false));

    said(&portcullis(&["user", "remove", "ann", "--file", path], ""));
    assert_eq!(verify("ann", "own choice"), None);
    let why = complained(&portcullis(&["user", "remove", "ann", "--file", path], ""), 1);
    assert!(why.contains("there is no user \"ann\""), "{why}");
    let why = complained(&portcullis(&["user", "add", "a:b", "--file", path], ""), 1);
    assert!(why.contains("\"a:b\"") && why.contains("colon"), "{why}");
}

#[test]
fn check_reports_every_fault_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.toml");
    let text = "[listeners.plant]\nbind = \"nowhere\"\ntls.cert = \"absent.pem\"\ntls.key = \
                \"absent.key\"\nchain = [\"absent\"]\n";
    fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let why = complained(&portcullis(&["check", "--config", path], ""), 1);
    for line in 2..=5 {
        assert!(why.contains(&format!("{path}:{line}: ")), "line {line} is not in {why}");
    }
    let why = complained(&portcullis(&["check", "--config", "/absent/gateway.toml"], ""), 1);
    assert!(why.contains("/absent/gateway.toml") && why.contains("no such file"), "{why}");
    complained(&portcullis(&["check"], ""), 2);
}

#[test]
fn check_looks_into_certificates_and_components() {
    let (dir, extensions) = folders();
    said(&init(dir.path(), extensions.path()));
    fs::write(dir.path().join("pki/server.pem"), "not a certificate").unwrap();
    let file = dir.path().join("gateway.toml");
    let why = complained(&portcullis(&["check", "--config", file.to_str().unwrap()], ""), 1);
    assert!(why.contains("listener \"mqtts\"") && why.contains("server.pem"), "{why}");
    for name in ["password", "acl"] {
        assert!(why.contains(&format!("extension \"{name}\"")), "{name} is not in {why}");
    }
}
