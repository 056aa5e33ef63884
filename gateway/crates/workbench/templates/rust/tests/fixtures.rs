//! `cargo test` builds the component and runs the fixtures, by the `portcullis` program. PORTCULLIS names another one
//! than that of PATH.

use std::process::Command;

#[test]
fn the_fixtures_come_out_as_expected() {
    let program = std::env::var_os("PORTCULLIS").unwrap_or_else(|| "portcullis".into());
    let status = Command::new(program)
        .args(["extension", "test", env!("CARGO_MANIFEST_DIR")])
        .status()
        .expect("portcullis is in PATH, or PORTCULLIS names it");
    assert!(status.success(), "see above");
}
