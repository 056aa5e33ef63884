//! `cargo xtask bench`: what the crates cost by themselves, and the gateway beside Mosquitto.

mod asked;
mod brokers;
mod connections;
mod offline;
mod process;
mod report;
mod versus;

use std::fs;

use crate::command::{cargo, run as run_program};
use crate::failure::Failure;
use crate::root::Root;

const CRATES: &str = "gateway/crates";

/// Criterion, or what the first word names.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    match words {
        [] => criterion(root),
        ["--asked", rest @ ..] => asked::run(root, rest),
        ["--connections", rest @ ..] => connections::run(root, rest),
        ["--versus-mosquitto", rest @ ..] => versus::run(root, rest),
        ["--offline", rest @ ..] => offline::run(root, rest),
        ["--rounds", ..] => offline::rounds::run(root, words),
        _ => Err(Failure::Usage(
            [
                "usage: cargo xtask bench",
                asked::USAGE,
                connections::USAGE,
                versus::USAGE,
                offline::USAGE,
                offline::rounds::USAGE,
            ]
            .join("\n"),
        )),
    }
}

/// The benchmarks of each crate that has any.
fn criterion(root: &Root) -> Result<(), Failure> {
    let crates = root.join(CRATES);
    let mut names = Vec::new();
    for entry in fs::read_dir(&crates).map_err(Failure::file("read", &crates))? {
        let path = entry.map_err(Failure::file("read", &crates))?.path();
        if path.join("benches").is_dir() {
            names.extend(
                path.file_name().map(|name| format!("portcullis-{}", name.to_string_lossy())),
            );
        }
    }
    names.sort();
    let mut command = cargo();
    command.current_dir(root.path()).args(["bench", "--locked", "--benches"]);
    for name in &names {
        command.args(["--package", name]);
    }
    run_program(&mut command)
}
