//! `cargo xtask footprint`: what the gateway takes of a small board, and where it goes.

mod process;
mod program;
mod subject;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dist::budget::Budget;
use crate::dist::build;
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

/// The gateway in one of its two builds.
struct Build<'a> {
    name: &'static str,
    program: PathBuf,
    budget: Budget,
    /// What compiles for a build that cannot.
    compiler: Option<&'a Path>,
}

/// Measures both builds, prints a table and what the sizes are made of, and fails if a budget is exceeded. Where no program is
/// named it is the one that is shipped for this machine.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let options = Options::parse(words, &["--full", "--runtime", "--connections"], USAGE)?;
    let connections = options.number("--connections")?.unwrap_or(CONNECTIONS);
    let program = |option: &str, runtime_only: bool| match options.text(option) {
        Some(path) => Ok(PathBuf::from(path)),
        None => {
            let build = build::Build { runtime_only, ..build::Build::for_this_machine()? };
            build::gateway(root, build).map(|built| built.program)
        }
    };
    let full = program("--full", false)?;
    let runtime = program("--runtime", true)?;
    let components = extensions::build(root)?;
    let builds = [
        Build { name: "full", program: full.clone(), budget: Budget::of(false), compiler: None },
        Build {
            name: "runtime only",
            program: runtime,
            budget: Budget::of(true),
            compiler: Some(&full),
        },
    ];
    println!("| | budget | value | where it goes |\n|---|---|---|---|");
    let mut excesses = Vec::new();
    for build in &builds {
        excesses.extend(measure(root, build, &components, connections)?);
    }
    if excesses.is_empty() {
        return Ok(());
    }
    Err(Failure::Other(format!("over budget: {}", excesses.join("; "))))
}

/// A figure that has a budget, in words if it is over it.
fn excess(build: &str, what: &str, value: u128, budget: u128, unit: &str) -> Option<String> {
    (value > budget).then(|| {
        format!("{build}: {what} is {value} {unit}, and dist/budget.rs allows {budget} {unit}")
    })
}

fn measure(
    root: &Root,
    build: &Build<'_>,
    components: &Path,
    connections: u32,
) -> Result<Vec<String>, Failure> {
    let Build { name, budget, .. } = build;
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
        &format!("{} ms", budget.first_connack.as_millis()),
        &format!("{median} ms"),
        &spread,
    );
    std::thread::sleep(Duration::from_secs(3));
    let idle = gateway.resident()?;
    row(
        "resident at rest, password and acl",
        &mib(budget.resident_bytes),
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
    gateway.stop()?;
    Ok(excesses(build, median, idle.total))
}

/// What of a build is over its budget: milliseconds to the first CONNACK, bytes at rest.
fn excesses(build: &Build<'_>, connack_ms: u128, resident_bytes: u64) -> Vec<String> {
    let Build { name, budget, .. } = build;
    let (most_ms, most_bytes) = (budget.first_connack.as_millis(), budget.resident_bytes.into());
    let time = excess(name, "start to first CONNACK", connack_ms, most_ms, "ms");
    let bytes = excess(name, "resident at rest", resident_bytes.into(), most_bytes, "bytes");
    time.into_iter().chain(bytes).collect()
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_budget_is_named_with_its_figure() {
        assert_eq!(excess("full", "resident at rest", 30, 30, "bytes"), None);
        let why = excess("full", "resident at rest", 31, 30, "bytes").unwrap();
        assert!(why.contains("full: resident at rest is 31 bytes"), "{why}");
        assert!(why.contains("allows 30 bytes"), "{why}");
    }
}
