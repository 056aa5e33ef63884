//! Code that was compiled elsewhere, by somebody whom the operator trusts or not.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use portcullis_tests::{Gateway, Site, program};

pub(crate) fn portcullis(words: &[&str]) -> Output {
    Command::new(&program().portcullis).args(words).output().expect("the gateway starts")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes a key, and the code of both extensions of the site with it in `code`; the key's public half.
pub(crate) fn compile(site: &Site, key: &str, more: &[&str]) -> String {
    let path = |name: &str| site.path(name).display().to_string();
    if !site.path(key).exists() {
        said(&portcullis(&["extension", "keygen", "--out", &path(key)]));
    }
    let components = ["extensions/password.wasm", "extensions/acl.wasm"].map(path);
    let mut words = vec!["extension", "compile", &components[0], &components[1]];
    let (key, out) = (path(key), path("code"));
    words.extend(["--key", &key, "--out", &out]);
    words.extend(more);
    let told = said(&portcullis(&words));
    told.split('"').nth(1).expect("it says which key it signed with").to_owned()
}

/// How each extension got its code, in the order of loading.
pub(crate) fn whence(gateway: &Gateway<'_>) -> Vec<String> {
    let events = gateway.events(0, "extension has its code");
    events.iter().filter_map(|event| Some(event["code"].as_str()?.to_owned())).collect()
}

pub(crate) fn files(site: &Site) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.path("code")).expect("there is code");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn code_of_a_trusted_key_runs_and_no_other() {
    let site = Site::new();
    let key = compile(&site, "code.key", &[]);
    // Nothing is kept, so that each start shows what it does with what was brought.
    let configure = |key: &str| {
        site.configure(&format!(
            "[compiler]\ncache = false\ncode-dir = \"code\"\ncode-keys = [\"{key}\"]\n"
        ));
    };
    configure(&key);
    let gateway = Gateway::start(&site);
    assert_eq!(whence(&gateway), ["brought", "brought"]);
    gateway.client("pump").publish_and_wait("demo/x", b"1", false);
    gateway.stop();

    // One bit of what was signed is another.
    let path = &files(&site)[0];
    let mut bytes = fs::read(path).expect("code");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("code is changed");
    let gateway = Gateway::start(&site);
    let mut codes = whence(&gateway);
    codes.sort();
    assert_eq!(codes, ["brought", "compiled in a process of its own"]);
    let refused = "compiled code refused; the component is compiled again";
    let why = gateway.events(0, refused);
    assert!(why[0]["why"].as_str().unwrap_or_default().contains("compiler.code-keys"), "{why:?}");
    gateway.stop();

    // Signed by somebody else.
    compile(&site, "stranger.key", &[]);
    let gateway = Gateway::start(&site);
    assert_eq!(whence(&gateway), ["compiled in a process of its own"; 2]);
    assert_eq!(gateway.events(0, refused).len(), 2);
}

#[test]
fn code_for_another_engine_is_not_even_read() {
    let site = Site::new();
    let engine = said(&portcullis(&["extension", "engine"]));
    let other = if engine.contains("--plan tight") { "ample" } else { "tight" };
    let key = compile(&site, "code.key", &["--plan", other]);
    site.configure(&format!(
        "[compiler]\ncache = false\ncode-dir = \"code\"\ncode-keys = [\"{key}\"]\n"
    ));
    let gateway = Gateway::start(&site);
    assert_eq!(whence(&gateway), ["compiled in a process of its own"; 2]);
    assert!(gateway.events(0, "compiled code refused; the component is compiled again").is_empty());
}

/// What an installation does, so that the first start is like any other.
#[test]
fn code_is_compiled_before_the_first_start() {
    let site = Site::new();
    let config = site.config().display().to_string();
    let told = said(&portcullis(&["extension", "compile", "--config", &config]));
    assert!(told.contains("password@") && told.contains("acl@"), "{told}");
    let gateway = Gateway::start(&site);
    assert_eq!(whence(&gateway), ["kept", "kept"]);
}
