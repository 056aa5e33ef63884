//! Python: componentize-py puts the source into CPython and takes a snapshot of both.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{SOURCES, WORLD, Workshop, write};
use crate::command::run;
use crate::component::{self, Component};
use crate::failure::Failure;
use crate::root::Root;
use crate::{packages, venv};

const PURPOSE: &str = "extensions in Python";

pub(super) fn install(root: &Root) -> Result<(), Failure> {
    packages::ensure(&venv::PACKAGES, PURPOSE)?;
    program(root).map(drop)
}

pub(super) fn build(workshop: &Workshop<'_>) -> Result<Component, Failure> {
    let made = workshop.scratch.join("tenants.wasm");
    // The interpreter leaves its bytecode beside the source, where the source tree is not to have it.
    let source = workshop.scratch.join("source");
    let original = workshop.sources.join("tenants.py");
    let text = fs::read(&original).map_err(Failure::file("read", &original))?;
    write(&source.join("tenants.py"), text)?;
    run(Command::new(program(workshop.root)?)
        .arg("--wit-path")
        .arg(&workshop.wit)
        .args(["--world", WORLD, "componentize", "tenants", "--python-path"])
        .arg(&source)
        .arg("--output")
        .arg(&made))?;
    let bytes = fs::read(&made).map_err(Failure::file("read", &made))?;
    component::inspect(&made, bytes)
}

fn program(root: &Root) -> Result<PathBuf, Failure> {
    let path = root.join(SOURCES).join("python/requirements.txt");
    let text = fs::read_to_string(&path).map_err(Failure::file("read", &path))?;
    let requirements: Vec<&str> = text.lines().collect();
    let programs = venv::programs(root, &requirements, "componentize-py", PURPOSE)?;
    Ok(programs.join("componentize-py"))
}
