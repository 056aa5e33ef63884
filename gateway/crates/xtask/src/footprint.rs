//! `cargo xtask footprint`: what the gateway takes of a small board, and where it goes.

mod process;
mod program;
mod subject;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{cargo, run as run_program};
use crate::extensions;
use crate::failure::Failure;
use crate::options::Options;
use crate::root::Root;

use subject::Subject;

const USAGE: &str = "usage: cargo xtask footprint [--full PATH] [--runtime PATH] [--connections N]";

/// Idle connections whose memory is measured.
const CONNECTIONS: u32 = 500;

/// Further copies of an extension, each with its own code and one instance.
const COPIES: u32 = 8;

/// How long an idle gateway is watched for what wakes it.
const WATCHED: Duration = Duration::from_secs(20);

/// Times that a start is repeated; the median counts.
const STARTS: usize = 7;

/// Budgets: bytes resident, and milliseconds from the start to the first CONNACK.
const FULL_MIB: u64 = 30;
const RUNTIME_MIB: u64 = 20;
const CONNACK_MS: u128 = 300;

/// The gateway in one of its two builds.
struct Build<'a> {
    name: &'static str,
    program: PathBuf,
    budget_mib: u64,
    /// What compiles for a build that cannot.
    compiler: Option<&'a Path>,
}

/// Measures both builds and prints a table, and what the sizes are made of.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let options = Options::parse(words, &["--full", "--runtime", "--connections"], USAGE)?;
    let connections = options.number("--connections")?.unwrap_or(CONNECTIONS);
    let program = |option: &str, name: &str, features: &[&str]| match options.text(option) {
        Some(path) => Ok(PathBuf::from(path)),
        None => build(root, name, features),
    };
    let full = program("--full", "full", &[])?;
    let runtime = program("--runtime", "runtime", &["--no-default-features"])?;
    let components = extensions::build(root)?;
    let builds = [
        Build { name: "full", program: full.clone(), budget_mib: FULL_MIB, compiler: None },
        Build {
            name: "runtime only",
            program: runtime,
            budget_mib: RUNTIME_MIB,
            compiler: Some(&full),
        },
    ];
    println!("| | budget | value | where it goes |\n|---|---|---|---|");
    for build in &builds {
        measure(root, build, &components, connections)?;
    }
    Ok(())
}

/// A release build, put aside under a name.
fn build(root: &Root, name: &str, features: &[&str]) -> Result<PathBuf, Failure> {
    let mut command = cargo();
    command.current_dir(root.path());
    run_program(
        command.args(["build", "--locked", "--release", "--package", "portcullis"]).args(features),
    )?;
    let (from, folder) = (root.target("release/portcullis"), root.target("footprint"));
    fs::create_dir_all(&folder).map_err(Failure::file("create", &folder))?;
    let to = folder.join(name);
    fs::copy(&from, &to).map_err(Failure::file("copy", &from))?;
    Ok(to)
}

fn measure(
    root: &Root,
    build: &Build<'_>,
    components: &Path,
    connections: u32,
) -> Result<(), Failure> {
    let name = build.name;
    let row = |what: &str, budget: &str, value: &str, why: &str| {
        println!("| {name}: {what} | {budget} | {value} | {why} |");
    };
    let size = program::size(&build.program, &root.target("footprint"))?;
    row("program, stripped", "", &mib(size.stripped), &size.sections());
    row("its code by crate", "", "", &size.crates());
    let subject = Subject::prepare(root, build.compiler, &build.program, components, 0)?;
    let (mut times, mut gateway) = (Vec::new(), subject.start()?);
    for _ in 0..STARTS {
        gateway.stop()?;
        gateway = subject.start()?;
        times.push(gateway.first_connack.as_millis());
    }
    times.sort_unstable();
    let median = times.get(STARTS / 2).copied().unwrap_or_default();
    let spread = format!(
        "of {STARTS}: {times:?} ms, a password check with argon2id in it; listening after {} ms",
        gateway.listening.as_millis()
    );
    row(
        "start to first CONNACK, code kept",
        &format!("{CONNACK_MS} ms"),
        &format!("{median} ms"),
        &spread,
    );
    std::thread::sleep(Duration::from_secs(3));
    let idle = gateway.resident()?;
    row(
        "resident at rest, password and acl",
        &format!("{} MiB", build.budget_mib),
        &mib(idle.total),
        &idle.parts(),
    );
    let woken = gateway.woken(WATCHED)?;
    row("context switches at rest", "", &format!("{:.2}/s", woken.per_second), &woken.threads());
    let held = gateway.hold(connections)?;
    let with = gateway.resident()?;
    let each = with.total.saturating_sub(idle.total) / u64::from(connections);
    row(
        "each idle connection, TCP",
        "",
        &format!("{:.1} KiB", each as f64 / 1024.0),
        &format!("{} of them", held.len()),
    );
    drop(held);
    gateway.stop()?;
    let more = Subject::prepare(root, build.compiler, &build.program, components, COPIES)?;
    more.start()?.stop()?;
    let gateway = more.start()?;
    std::thread::sleep(Duration::from_secs(3));
    let with = gateway.resident()?;
    let each = with.total.saturating_sub(idle.total) / u64::from(COPIES);
    row(
        "each extension like acl, one instance",
        "",
        &format!("{:.0} KiB", each as f64 / 1024.0),
        "its code and its memory",
    );
    gateway.stop()
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}
