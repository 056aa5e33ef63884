//! `cargo xtask attacks`: what a well-behaved client notices while others attack.

use std::path::PathBuf;
use std::process::Command;

use crate::command::run as run_program;
use crate::failure::Failure;
use crate::options::Options;
use crate::run::{PROGRAM, build_gateway, build_harness};
use crate::test::EXTENSIONS;
use crate::{extensions, root::Root};

const USAGE: &str =
    "usage: cargo xtask attacks [--gateway PATH] [--seconds N] [--only NAME,NAME...]";

/// The program that attacks and measures.
const HARNESS: &str = "portcullis-attacks";

/// Builds the extensions and the harness, and the gateway as it is released if none is given, and attacks that.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let options = Options::parse(words, &["--gateway", "--seconds", "--only"], USAGE)?;
    let components = extensions::build(root)?;
    let gateway = match options.text("--gateway") {
        Some(path) => PathBuf::from(path),
        None => build_gateway(root, true)?,
    };
    build_harness(root, &[HARNESS])?;
    let mut harness = Command::new(root.target("debug").join(HARNESS));
    harness.arg("run");
    for name in ["--seconds", "--only"] {
        if let Some(value) = options.text(name) {
            harness.args([name, value]);
        }
    }
    run_program(harness.env(EXTENSIONS, components).env(PROGRAM, gateway))
}
