//! `cargo xtask swap`: extensions are replaced while many clients send.

use crate::command::{cargo, run as run_program};
use crate::failure::Failure;
use crate::options::Options;
use crate::run::{PROGRAM, build_gateway};
use crate::test::EXTENSIONS;
use crate::{extensions, root::Root};

const USAGE: &str = "usage: cargo xtask swap [--clients N] [--rate N] [--swaps N]";

/// Runs the test of the same name at this size, with the gateway as it is released.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let options = Options::parse(words, &["--clients", "--rate", "--swaps"], USAGE)?;
    let size = [("--clients", 1000), ("--rate", 5000), ("--swaps", 50)]
        .map(|(name, usual)| options.number(name).map(|given| given.unwrap_or(usual).to_string()));
    let size = size.into_iter().collect::<Result<Vec<_>, _>>()?;
    let components = extensions::build(root)?;
    let gateway = build_gateway(root, true)?;
    let mut test = cargo();
    test.current_dir(root.path()).args(["test", "--locked", "--workspace", "--test", "swap"]);
    test.args(["--", "--nocapture"]);
    test.env(EXTENSIONS, components).env(PROGRAM, gateway);
    run_program(test.env("PORTCULLIS_SWAP", size.join(" ")))
}
