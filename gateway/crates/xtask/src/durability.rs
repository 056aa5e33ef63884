//! `cargo xtask kill` and `cargo xtask power-cut`: promises against kills and lost writes.

use std::env;
use std::process::Command;

use crate::command::run as run_program;
use crate::failure::Failure;
use crate::run::{PROGRAM, build_harness};
use crate::test::EXTENSIONS;
use crate::{extensions, root::Root};

/// Builds extensions, gateway and harness, and runs that with `words` behind `command`. A gateway that the
/// environment names is tested instead of the one that is built.
pub(crate) fn run(root: &Root, command: &str, words: &[&str]) -> Result<(), Failure> {
    let components = extensions::build(root)?;
    build_harness(root, &["portcullis", "portcullis-durability"])?;
    let built = root.target("debug/portcullis");
    let gateway = env::var_os(PROGRAM).unwrap_or_else(|| built.into_os_string());
    run_program(
        Command::new(root.target("debug/portcullis-durability"))
            .arg(command)
            .args(words)
            .env(EXTENSIONS, components)
            .env(PROGRAM, gateway),
    )
}
