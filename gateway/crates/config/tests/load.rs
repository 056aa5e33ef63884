//! Configurations on a real disk.

use std::fs;

use portcullis_config::{Transport, load};

#[test]
fn paths_are_relative_to_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    for name in ["server.pem", "server.key", "acl.wasm"] {
        fs::write(directory.path().join(name), "x").unwrap();
    }
    let text = "data = 'state'\n\
                [listeners.plant]\n\
                bind = '[::1]:0'\n\
                tls.cert = 'server.pem'\n\
                tls.key = 'server.key'\n\
                chain = ['acl']\n\
                [extensions.acl]\n\
                component = 'acl.wasm'\n";
    fs::write(&file, text).unwrap();
    let checked = load(&file).map_err(|report| report.to_string()).unwrap();
    assert_eq!(checked.data, directory.path().join("state"));
    assert_eq!(checked.extensions[0].component, directory.path().join("acl.wasm"));
    let Transport::Tls(tls) = &checked.listeners[0].transport else { panic!() };
    assert_eq!(tls.key, directory.path().join("server.key"));

    fs::remove_file(directory.path().join("server.key")).unwrap();
    let report = load(&file).unwrap_err();
    let start = format!(
        "{}:5: listener \"plant\": tls.key \"server.key\" is not readable (no such file)",
        file.display()
    );
    assert!(report.to_string().starts_with(&start), "{report}");
    assert_eq!(report.errors().len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    let sentence = |why: &str| {
        format!("{}: cannot be read ({why}); check its path and permissions", file.display())
    };
    assert_eq!(load(&file).unwrap_err().to_string(), sentence("no such file"));
    fs::write(&file, b"data = \"\xff\"").unwrap();
    assert_eq!(load(&file).unwrap_err().to_string(), sentence("it is not text in UTF-8"));
}

#[test]
fn no_interval_means_never() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    fs::write(directory.path().join("acl.wasm"), "x").unwrap();
    let text = "[listeners.plant]\n\
                bind = '127.0.0.1:0'\n\
                transport = 'tcp'\n\
                chain = ['acl']\n\
                [extensions.acl]\n\
                component = 'acl.wasm'\n\
                [broker]\n\
                sys-interval = ";
    let interval = |value: &str| {
        fs::write(&file, format!("{text}'{value}'")).unwrap();
        load(&file).map_err(|report| report.to_string()).unwrap().broker.sys_interval
    };
    assert_eq!(interval("0s"), None);
    assert_eq!(interval("1s"), Some(std::time::Duration::from_secs(1)));
}
