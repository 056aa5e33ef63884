//! The shipped extensions, as their fixtures have them meet a client. Each file is one that `portcullis extension test`
//! runs as well.

use std::path::Path;

use portcullis_tests::program;

fn run(name: &str) {
    let component = program().extensions.join(format!("{name}.wasm"));
    let folder = format!("../extensions/{name}/fixtures");
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
