//! `cargo xtask sim`: the broker in a simulated world, under many seeds.

use crate::command::{cargo, run as run_program};
use crate::failure::Failure;
use crate::root::Root;

/// Runs the simulation, optimised but with every assertion; `words` go to it.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    run_program(
        cargo()
            .current_dir(root.path())
            .args(["run", "--locked", "--profile", "simulation"])
            .args(["--package", "portcullis-simulation", "--"])
            .args(words),
    )
}
