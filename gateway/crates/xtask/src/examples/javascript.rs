//! JavaScript: componentize-js puts the source into an engine (StarlingMonkey) and takes a snapshot of both.

use std::fs;
use std::process::Command;

use super::{SOURCES, WORLD, Workshop};
use crate::command::run;
use crate::component::{self, Component};
use crate::failure::Failure;
use crate::root::Root;
use crate::{npm, packages};

/// Where its modules are, below the target folder.
const MODULES: &str = "componentize-js";
const PROGRAM: &str = "@bytecodealliance/componentize-js/src/cli.js";

/// What the engine is to do without. What remains, `stdio`, is where errors are told.
const DISABLED: [&str; 4] = ["random", "clocks", "http", "fetch-event"];

pub(super) fn install(root: &Root) -> Result<(), Failure> {
    packages::ensure(&npm::PACKAGES, "extensions in JavaScript")?;
    npm::modules(root, &source(), MODULES).map(drop)
}

pub(super) fn build(workshop: &Workshop<'_>) -> Result<Component, Failure> {
    let modules = npm::modules(workshop.root, &source(), MODULES)?;
    let made = workshop.scratch.join("tenants.wasm");
    run(Command::new("node")
        .arg(modules.join(PROGRAM))
        .arg(workshop.sources.join("tenants.js"))
        .arg("--wit")
        .arg(&workshop.wit)
        .args(["--world-name", WORLD, "--disable"])
        .args(DISABLED)
        .arg("--out")
        .arg(&made))?;
    let bytes = fs::read(&made).map_err(Failure::file("read", &made))?;
    component::inspect(&made, bytes)
}

fn source() -> String {
    format!("{SOURCES}/javascript")
}
