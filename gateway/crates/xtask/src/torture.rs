//! `cargo xtask torture`: both ends of a bridge are killed and its link is cut while devices publish.

use std::env;
use std::process::Command;

use crate::command::run as run_program;
use crate::failure::Failure;
use crate::options::Options;
use crate::packages::{self, Package};
use crate::run::{PROGRAM, build_harness};
use crate::test::EXTENSIONS;
use crate::{extensions, root::Root};

const USAGE: &str = "usage: cargo xtask torture [--cuts N] [--devices N] [--seed N] [--qos 1|2] [--bridge portcullis|mosquitto|both]";

/// The program that does it and counts.
const HARNESS: &str = "portcullis-torture";

/// What it is compared with.
const MOSQUITTO: [Package; 1] = [Package { name: "mosquitto", brings: "mosquitto" }];

/// Builds extensions, gateway and harness, and runs that. A gateway that the environment names is tested instead of the
/// one that is built.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let options =
        Options::parse(words, &["--cuts", "--devices", "--seed", "--qos", "--bridge"], USAGE)?;
    if options.text("--bridge") != Some("portcullis") {
        packages::ensure(&MOSQUITTO, "the comparison")?;
    }
    let components = extensions::build(root)?;
    build_harness(root, &["portcullis", HARNESS])?;
    let built = root.target("debug/portcullis");
    let gateway = env::var_os(PROGRAM).unwrap_or_else(|| built.into_os_string());
    run_program(
        Command::new(root.target("debug").join(HARNESS))
            .args(words)
            .env(EXTENSIONS, components)
            .env(PROGRAM, gateway),
    )
}
