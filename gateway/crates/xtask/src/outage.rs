//! `cargo xtask outage`: a bridge whose upstream was away for a day.

use crate::command::{cargo, run as run_program};
use crate::failure::Failure;
use crate::options::Options;
use crate::run::{PROGRAM, build_gateway};
use crate::test::EXTENSIONS;
use crate::{extensions, root::Root};

const USAGE: &str =
    "usage: cargo xtask outage [--gateway PATH] [--messages N] [--drain-rate N] [--urgent N]";

/// Runs the test of the same matter at this size, with the gateway as it is released, or another.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let known = ["--gateway", "--messages", "--drain-rate", "--urgent"];
    let options = Options::parse(words, &known, USAGE)?;
    let size = [("--messages", 1_000_000), ("--drain-rate", 5000), ("--urgent", 50)]
        .map(|(name, usual)| options.number(name).map(|given| given.unwrap_or(usual).to_string()));
    let size = size.into_iter().collect::<Result<Vec<_>, _>>()?;
    let components = extensions::build(root)?;
    let gateway = match options.text("--gateway") {
        Some(path) => path.into(),
        None => build_gateway(root, true)?,
    };
    let mut test = cargo();
    test.current_dir(root.path()).args(["test", "--locked", "--workspace", "--test", "bridge"]);
    test.args(["what_a_day_left", "--", "--nocapture"]);
    test.env(EXTENSIONS, components).env(PROGRAM, gateway);
    run_program(test.env("PORTCULLIS_OUTAGE", size.join(" ")))
}
