//! `cargo xtask run`: from a fresh clone to a gateway that listens.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{cargo, run as run_program};
use crate::failure::Failure;
use crate::{extensions, root::Root};

/// What the first start makes: configuration, private CA, certificate, credential, data.
const HOME: &str = ".portcullis";

/// Names the gateway under test to a harness, which would otherwise build it.
pub(crate) const PROGRAM: &str = "PORTCULLIS_PROGRAM";

/// Builds the extensions and the gateway, sets it up if that was never done, and becomes it. `arguments` go to
/// `portcullis run`, save `--release`, which chooses the profile.
pub(crate) fn run(root: &Root, arguments: &[&str]) -> Result<(), Failure> {
    let (own, rest): (Vec<&str>, Vec<&str>) =
        arguments.iter().partition(|argument| **argument == "--release");
    let extensions = extensions::build(root)?;
    let gateway = build_gateway(root, !own.is_empty())?;
    let home = root.join(HOME);
    let configuration = home.join("gateway.toml");
    if !configuration.is_file() {
        run_program(
            Command::new(&gateway)
                .arg("init")
                .arg("--dir")
                .arg(&home)
                .arg("--extensions")
                .arg(&extensions),
        )?;
    }
    refresh(&extensions, &home.join("extensions"))?;
    let mut command = Command::new(&gateway);
    command.arg("run").arg("--config").arg(&configuration).args(rest);
    // The gateway takes this process's place, so that signals reach it and nothing else.
    let error = command.exec();
    Err(Failure::Start { command: gateway.display().to_string(), error })
}

/// Brings the gateway's own copies of the components up to date: set-up keeps what it finds, and here
/// the ones just built are wanted.
fn refresh(built: &Path, copies: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(built).map_err(Failure::file("read", built))? {
        let component = entry.map_err(Failure::file("read", built))?.path();
        if component.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let copy = copies.join(component.file_name().unwrap_or_default());
        let bytes = fs::read(&component).map_err(Failure::file("read", &component))?;
        if fs::read(&copy).is_ok_and(|old| old != bytes) {
            fs::write(&copy, bytes).map_err(Failure::file("write", &copy))?;
            eprintln!("{} is the new {}", copy.display(), component.display());
        }
    }
    Ok(())
}

/// Builds the gateway and gives the program's path.
pub(crate) fn build_gateway(root: &Root, release: bool) -> Result<PathBuf, Failure> {
    let mut build = cargo();
    build.current_dir(root.path()).args(["build", "--locked", "--package", "portcullis"]);
    if release {
        build.arg("--release");
    }
    run_program(&mut build)?;
    Ok(root.target(if release { "release/portcullis" } else { "debug/portcullis" }))
}

/// Builds programs that test the gateway, for `target/debug`.
pub(crate) fn build_harness(root: &Root, programs: &[&str]) -> Result<(), Failure> {
    // With the whole workspace cargo settles on the features that `cargo xtask test` has built.
    let mut build = cargo();
    build.current_dir(root.path()).args(["build", "--locked", "--workspace", "--test", "tidy"]);
    build.args(programs.iter().flat_map(|program| ["--bin", program]));
    run_program(&mut build)
}
