//! `cargo xtask fuzz`: the fuzz targets of all crates, on the stable toolchain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{cargo, output, run as run_program};
use crate::failure::Failure;
use crate::root::Root;

const CRATES: &str = "gateway/crates";

/// Seconds for each target unless told.
const SECONDS: u32 = 60;

/// What libFuzzer needs from the compiler, without cargo-fuzz.
const INSTRUMENT: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Zsanitizer=address \
    -Ccodegen-units=1";

/// What makes one input a finding by itself: seconds that it takes.
const SECONDS_PER_INPUT: u32 = 10;

/// One fuzz target.
struct Target {
    name: String,
    /// The package that it is in.
    folder: PathBuf,
}

/// Fuzzes one target or each in turn. Inputs that are found to fail are left in `artifacts/`.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let (wanted, seconds) = arguments(words)?;
    let host = output(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let built = root.target("fuzz");
    let known = targets(&root.join(CRATES))?;
    let names = known.iter().map(|target| &*target.name).collect::<Vec<_>>().join(", ");
    let targets: Vec<&Target> =
        known.iter().filter(|target| wanted.is_none_or(|wanted| wanted == target.name)).collect();
    if targets.is_empty() {
        return Err(Failure::Usage(format!(
            "there is no fuzz target \"{}\" in {CRATES}/*/fuzz/fuzz_targets; there are {names}",
            wanted.unwrap_or_default()
        )));
    }
    targets.into_iter().try_for_each(|target| fuzz(target, &host, &built, seconds))
}

fn fuzz(target: &Target, host: &str, built: &Path, seconds: u32) -> Result<(), Failure> {
    let Target { name, folder } = target;
    // The sanitizer is an unstable flag, hence the bootstrap variable; the target is named so that
    // build scripts and macros stay as they are.
    run_program(
        cargo()
            .current_dir(folder)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", INSTRUMENT)
            .args(["build", "--release", "--target", host, "--bin", name])
            .arg("--target-dir")
            .arg(built),
    )?;
    // New inputs go beside the committed corpus, never into it.
    let found = built.join("corpus").join(name);
    let artifacts = folder.join("artifacts").join(name);
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    }
    run_program(
        Command::new(built.join(host).join("release").join(name))
            .arg(&found)
            .arg(folder.join("corpus").join(name))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={SECONDS_PER_INPUT}"))
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}/", artifacts.display())),
    )
}

/// Every target of every package, by name.
fn targets(crates: &Path) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for package in entries(crates)? {
        let folder = package.join("fuzz");
        let sources = folder.join("fuzz_targets");
        if !sources.is_dir() {
            continue;
        }
        for source in entries(&sources)? {
            if source.extension().is_some_and(|extension| extension == "rs") {
                let name = source.file_stem().map(|stem| stem.to_string_lossy().into_owned());
                targets.extend(name.map(|name| Target { name, folder: folder.clone() }));
            }
        }
    }
    targets.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(targets)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(Failure::file("read", folder))?;
    entries.map(|entry| Ok(entry.map_err(Failure::file("read", folder))?.path())).collect()
}

fn arguments<'a>(words: &[&'a str]) -> Result<(Option<&'a str>, u32), Failure> {
    match words {
        [] => Ok((None, SECONDS)),
        [name] if !name.starts_with('-') => Ok((Some(name), SECONDS)),
        ["--seconds", seconds] => Ok((None, number(seconds)?)),
        [name, "--seconds", seconds] => Ok((Some(name), number(seconds)?)),
        _ => Err(Failure::Usage("usage: cargo xtask fuzz [TARGET] [--seconds N]".to_owned())),
    }
}

fn number(text: &str) -> Result<u32, Failure> {
    text.parse().map_err(|_| Failure::Usage(format!("--seconds \"{text}\" is no whole number")))
}
