//! `cargo xtask ci`: what a change must pass, quick answers first.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::command::{cargo, find, run as run_program};
use crate::failure::Failure;
use crate::wasm_toolchain::WasmToolchain;
use crate::{root::Root, test};

/// Crates that decide and never act: they build where there is no clock, socket or disk.
const PURE: [&str; 4] =
    ["portcullis-mqtt", "portcullis-session", "portcullis-broker", "portcullis-auth"];

const CARGO_DENY: &str = "0.20.2";

type Step = fn(&Root) -> Result<(), Failure>;

/// Runs every check; stops at the first that fails.
///
/// `advisories` asks for the check of the dependencies against the RustSec database, which cargo-deny
/// fetches from its repository; a machine without a way there goes without.
pub(crate) fn run(root: &Root, advisories: bool) -> Result<(), Failure> {
    let mut steps: Vec<(&str, Step)> = vec![
        ("format", format),
        ("lints", lints),
        ("without a compiler", without_compiler),
        ("pure crates", pure_crates),
        ("tests", |root| test::run(root, &[])),
        ("documentation", documentation),
        ("dependencies", |root| deny(root, &["bans", "licenses", "sources"])),
    ];
    if advisories {
        steps.push(("advisories", |root| deny(root, &["advisories"])));
    }
    let mut times = Vec::new();
    for (name, step) in steps {
        let begin = Instant::now();
        step(root)?;
        times.push(format!("{name} {} s", begin.elapsed().as_secs()));
    }
    println!("{}", times.join(", "));
    Ok(())
}

/// The gateway's workspace, that of the guests, and the example of one.
fn workspaces(root: &Root) -> [Command; 3] {
    ["", "extensions", "examples/extensions/rust"].map(|folder| {
        let mut command = cargo();
        command.current_dir(root.join(folder));
        if !folder.is_empty() {
            command.env("CARGO_TARGET_DIR", root.target("guest"));
        }
        command
    })
}

fn format(root: &Root) -> Result<(), Failure> {
    workspaces(root)
        .iter_mut()
        .try_for_each(|command| run_program(command.args(["fmt", "--all", "--check"])))
}

fn lints(root: &Root) -> Result<(), Failure> {
    workspaces(root).iter_mut().try_for_each(|command| {
        run_program(
            command
                .args(["clippy", "--workspace", "--all-targets", "--locked"])
                .args(["--", "-D", "warnings"]),
        )
    })
}

/// What boards run that cannot compile: the tests of the workspace are all of the build that can.
fn without_compiler(root: &Root) -> Result<(), Failure> {
    let mut command = cargo();
    command.current_dir(root.path()).args(["clippy", "--locked", "--package", "portcullis"]);
    run_program(command.args(["--no-default-features", "--", "-D", "warnings"]))
}

fn pure_crates(root: &Root) -> Result<(), Failure> {
    let mut command = WasmToolchain::find()?.cargo("check");
    command.current_dir(root.path()).arg("--locked").arg("--target-dir").arg(root.target("pure"));
    run_program(command.args(PURE.iter().flat_map(|name| ["--package", name])))
}

fn documentation(root: &Root) -> Result<(), Failure> {
    workspaces(root).iter_mut().try_for_each(|command| {
        command.env("RUSTDOCFLAGS", "-D warnings -D rustdoc::broken_intra_doc_links");
        run_program(command.args(["doc", "--workspace", "--no-deps", "--locked"]))
    })
}

fn deny(root: &Root, checks: &[&str]) -> Result<(), Failure> {
    let deny = cargo_deny(root)?;
    run_program(
        Command::new(deny).current_dir(root.path()).args(["--locked", "check"]).args(checks),
    )
}

fn cargo_deny(root: &Root) -> Result<PathBuf, Failure> {
    if let Some(installed) = find("cargo-deny") {
        return Ok(installed);
    }
    let own = root.target("tools");
    let program = own.join("bin/cargo-deny");
    if !program.is_file() {
        eprintln!("installing into {}: cargo-deny {CARGO_DENY}", own.display());
        // Unoptimised: it is built far longer than it runs.
        run_program(
            cargo()
                .current_dir(root.path())
                .args(["install", "--locked", "--debug", "cargo-deny", "--version", CARGO_DENY])
                .arg("--root")
                .arg(&own)
                .arg("--target-dir")
                .arg(own.join("build")),
        )?;
    }
    Ok(program)
}
