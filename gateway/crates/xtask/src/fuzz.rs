//! `cargo xtask fuzz`: the codec's fuzz targets, on the stable toolchain.

use std::fs;
use std::process::Command;

use crate::command::{cargo, output, run as run_program};
use crate::failure::Failure;
use crate::root::Root;

const FOLDER: &str = "gateway/crates/mqtt/fuzz";

/// Seconds for each target unless told.
const SECONDS: u32 = 60;

/// What libFuzzer needs from the compiler, without cargo-fuzz.
const INSTRUMENT: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Zsanitizer=address \
    -Ccodegen-units=1";

/// Fuzzes one target or each in turn. Inputs that are found to fail are left in `artifacts/`.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let (wanted, seconds) = arguments(words)?;
    let folder = root.join(FOLDER);
    let host = output(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let built = root.target("fuzz");
    let targets: Vec<String> = targets(root)?
        .into_iter()
        .filter(|name| wanted.is_none_or(|wanted| wanted == name))
        .collect();
    if targets.is_empty() {
        return Err(Failure::Usage(format!(
            "there is no fuzz target \"{}\" in {FOLDER}/fuzz_targets",
            wanted.unwrap_or_default()
        )));
    }
    for name in targets {
        // The sanitizer is an unstable flag, hence the bootstrap variable; the target is named so that
        // build scripts and macros stay as they are.
        run_program(
            cargo()
                .current_dir(&folder)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTFLAGS", INSTRUMENT)
                .args(["build", "--release", "--target", &host, "--bin", &name])
                .arg("--target-dir")
                .arg(&built),
        )?;
        // New inputs go beside the committed corpus, never into it.
        let found = built.join("corpus").join(&name);
        let artifacts = folder.join("artifacts").join(&name);
        for folder in [&found, &artifacts] {
            fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
        }
        run_program(
            Command::new(built.join(&host).join("release").join(&name))
                .arg(&found)
                .arg(folder.join("corpus").join(&name))
                .arg(format!("-max_total_time={seconds}"))
                .arg(format!("-artifact_prefix={}/", artifacts.display())),
        )?;
    }
    Ok(())
}

fn targets(root: &Root) -> Result<Vec<String>, Failure> {
    let folder = root.join(FOLDER).join("fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(Failure::file("read", &folder))? {
        let path = entry.map_err(Failure::file("read", &folder))?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
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
