//! The way of a signature: a key is made, a component signed, looked at, trusted, and trusted no more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use portcullis_tests::{Gateway, Site, program};

use crate::layout::{Layout, SIGNATURE};

fn portcullis(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(&program().portcullis);
    command.arg("extension").args(arguments).current_dir(site.path(""));
    command.output().expect("the gateway starts")
}

fn said(site: &Site, arguments: &[&str]) -> String {
    let out = portcullis(site, arguments);
    let (text, errors) =
        (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{arguments:?}: {text}{errors}");
    text.into_owned()
}

fn refused(site: &Site, arguments: &[&str]) -> String {
    let out = portcullis(site, arguments);
    assert_eq!(out.status.code(), Some(1), "{arguments:?}");
    String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
}

/// Makes a key; answers with its public part.
fn keygen(site: &Site, file: &str) -> String {
    let text = said(site, &["keygen", "--out", file]);
    let key = text.split('"').find(|word| word.starts_with("ed25519:"));
    key.expect("it shows the public key").to_owned()
}

fn trusting(key: &str) -> String {
    format!("[trust]\nrequire-signature = true\n[trust.keys]\nvendor = \"{key}\"\n")
}

#[test]
fn what_is_signed_by_a_trusted_key_is_loaded_until_the_key_is_no_longer_trusted() {
    let site = Site::new();
    let key = keygen(&site, "vendor.pem");
    let mode = fs::metadata(site.path("vendor.pem")).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for component in ["extensions/password.wasm", "extensions/acl.wasm"] {
        let text = said(&site, &["sign", "--key", "vendor.pem", component, "--release", "1.0"]);
        assert!(text.contains("asks for: config"), "{text}");
    }
    site.configure(&trusting(&key));
    let inspected = said(&site, &["inspect", "extensions/acl.wasm", "--config", "gateway.toml"]);
    println!("{inspected}");
    for words in [
        "hooks      authorizer",
        "needs      grants = [\"config\", \"log\"]",
        "contract   portcullis:gateway@0.1.0, portcullis:host@0.1.0",
        "as \"acl\" 1.0 with ed25519:",
        "which is \"vendor\": verified",
    ] {
        assert!(inspected.contains(words), "\"{words}\" is not in\n{inspected}");
    }
    assert!(site.check().status.success());
    let mut gateway = Gateway::start(&site);
    let loaded = gateway.log.events(0, "extension loaded");
    assert!(loaded.iter().all(|event| event["signed_by"] == "vendor"), "{loaded:?}");
    assert!(gateway.client("signed").pings());

    let other = keygen(&site, "other.pem");
    site.configure(&trusting(&other));
    let mark = gateway.log.mark();
    assert!(gateway.reload().is_empty());
    let refused = gateway.log.events(mark, "extension not reloaded; it goes on as it is");
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(gateway.client("still").pings());
    assert_eq!(site.check().status.code(), Some(1), "it would not start");
    said(&site, &["sign", "--key", "other.pem", "extensions/acl.wasm"]);
    said(&site, &["sign", "--key", "other.pem", "extensions/password.wasm"]);
    assert!(site.check().status.success());
    gateway.assert_sound();
}

#[test]
fn what_is_asked_for_and_cannot_be_is_told() {
    let site = Site::new();
    let key = keygen(&site, "key.pem");
    let acl = "extensions/acl.wasm";
    for (arguments, says) in [
        (&["keygen", "--out", "key.pem"][..], "cannot create"),
        (&["sign", "--key", "gateway.toml", acl], "chmod 600"),
        (&["sign", "--key", "users.txt", acl], "is not a private key"),
        (&["sign", "--key", "key.pem", "acl.txt"], "not a WebAssembly component"),
        (&["sign", "--key", "key.pem", "none.wasm"], "name a path that exists"),
        (&["sign", "--key", "key.pem", acl, "--name", "a b"], "\"name\" that is not"),
        (&["inspect", "acl.txt"], "not a WebAssembly component"),
    ] {
        let said = refused(&site, arguments);
        assert!(said.contains(says), "{arguments:?}: \"{says}\" is not in {said}");
    }
    said(&site, &["sign", "--key", "key.pem", acl]);
    assert!(said(&site, &["inspect", acl]).contains("not verified"));
    fs::copy(site.path("extensions/acl.wasm.sig"), site.path("extensions/password.wasm.sig"))
        .expect("a copy");
    let wrong = refused(&site, &["inspect", "extensions/password.wasm"]);
    assert!(wrong.contains("WRONG") && wrong.contains("another component"), "{wrong}");
    site.configure(&trusting(&key));
    let out = site.check();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(
        text.contains("extension \"password\"") && text.contains("another component"),
        "{text}"
    );
}

#[test]
fn a_component_comes_from_a_layout() {
    let site = Site::new();
    let key = keygen(&site, "key.pem");
    for name in ["acl", "password"] {
        let path = format!("extensions/{name}.wasm");
        said(&site, &["sign", "--key", "key.pem", &path]);
        let layout = Layout::new(site.path(format!("{name}.oci")));
        let read = |path: &Path| fs::read(path).expect("a file");
        let component = layout.blob("application/wasm", &read(&site.path(&path)));
        let signature = layout.blob(SIGNATURE, &read(&site.path(format!("{path}.sig"))));
        layout.index(&[layout.manifest("1.0", &[component, signature])]);
        fs::remove_file(site.path(path)).expect("it is gone");
    }
    site.configure(&trusting(&key));
    let text = fs::read_to_string(site.config()).expect("a configuration");
    let text = text.replace("extensions/acl.wasm", "oci:acl.oci:1.0");
    fs::write(site.config(), text.replace("extensions/password.wasm", "password.oci"))
        .expect("a configuration");
    let mut gateway = Gateway::start(&site);
    let loaded = gateway.log.events(0, "extension loaded");
    assert!(loaded.len() == 2 && loaded.iter().all(|event| event["signed_by"] == "vendor"));
    assert!(gateway.client("layout").pings());
    let inspected = said(&site, &["inspect", "oci:acl.oci:1.0", "--config", "gateway.toml"]);
    assert!(inspected.contains("verified"), "{inspected}");
    gateway.assert_sound();
}
