//! What the tree promises about itself: dependency rule, purity, budgets, licences, format.
//!
//! `cargo test --test tidy -- --nocapture` prints the largest file, the median file and the longest function.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where it cannot go on"
)]

mod dependencies;
mod limits;
mod purity;
mod source;

use std::path::{Path, PathBuf};
use std::process::Command;

use source::{Source, code_only};

/// Lines of a file without its unit tests: think again, and never beyond.
const FILE_LINES_THINK: usize = 400;
const FILE_LINES_MAX: usize = 600;
const FILE_LINES_MEDIAN: usize = 150;
/// Lines of a function with something on them, comments aside.
const FUNCTION_LINES_MAX: usize = 70;

/// Folders with Rust sources of ours.
const FOLDERS: [&str; 4] = ["gateway", "extensions", "tests", "examples"];

#[test]
fn files_stay_within_their_budget() {
    let mut sizes: Vec<_> =
        sources().into_iter().map(|source| (source.lines_without_tests(), source)).collect();
    sizes.sort_by_key(|(lines, _)| *lines);
    let (median, median_file) = &sizes[sizes.len() / 2];
    let (largest, largest_file) = &sizes[sizes.len() - 1];
    println!("{} files; lines without unit tests:", sizes.len());
    println!("  median file  {median} {}", median_file.name());
    println!("  largest file {largest} {}", largest_file.name());
    for (lines, source) in sizes.iter().filter(|(lines, _)| *lines > FILE_LINES_THINK) {
        println!("  think again  {lines} {} (over {FILE_LINES_THINK})", source.name());
    }
    assert!(
        *largest <= FILE_LINES_MAX,
        "{} has {largest} lines without its unit tests; a file has at most {FILE_LINES_MAX}: split it by noun",
        largest_file.name()
    );
    assert!(
        *median < FILE_LINES_MEDIAN,
        "the median file has {median} lines; it has fewer than {FILE_LINES_MEDIAN}: split the larger files by noun"
    );
}

#[test]
fn functions_stay_within_their_budget() {
    let (mut functions, mut over) = (Vec::new(), Vec::new());
    for source in sources() {
        for function in source.functions() {
            let place = format!("{}:{} `{}`", source.name(), function.line, function.name);
            if function.lines > FUNCTION_LINES_MAX {
                over.push(format!("{place} has {} lines", function.lines));
            }
            functions.push((function.lines, place));
        }
    }
    functions.sort();
    let (longest, place) = functions.last().expect("the tree has functions");
    println!("{} functions; longest {longest} lines: {place}", functions.len());
    assert!(over.is_empty(), "a function has at most {FUNCTION_LINES_MAX} lines: {over:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not hold them.
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("db", "g!(")];
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in (1..).zip(source.text().lines()) {
            for word in words.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{}:{number} {word}", source.name()));
            }
        }
    }
    assert!(found.is_empty(), "do it, or write an issue for it: {found:#?}");
}

/// Where the only unsafe code is: what was compiled becomes code again.
const UNSAFE: &str = "gateway/crates/extension-host/src/artefact.rs";

#[test]
fn unsafe_code_has_one_home() {
    let word = concat!("uns", "afe");
    let mut found = Vec::new();
    for source in sources() {
        // Guests are sandboxed, and what is generated for them works on raw memory.
        if source.name().starts_with("extensions/") || source.name().starts_with("examples/") {
            continue;
        }
        let code = code_only(source.text());
        let is_word = |text: &str| {
            text.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|it| it == word || it == concat!("uns", "afe_code"))
        };
        let lines = (1..).zip(code.lines()).filter(|(_, line)| is_word(line));
        found.extend(
            lines.map(|(number, line)| (source.name().to_owned(), number, line.to_owned())),
        );
    }
    let (home, elsewhere): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(name, _, _)| name == UNSAFE);
    assert!(elsewhere.is_empty(), "unsafe code has one home, {UNSAFE}: {elsewhere:#?}");
    let blocks = home.iter().filter(|(_, _, line)| line.contains(concat!("uns", "afe {"))).count();
    assert_eq!((blocks, home.len()), (1, 2), "one block and one exception for it: {home:#?}");
}

#[test]
fn every_crate_says_what_it_is() {
    let mut silent = Vec::new();
    for source in sources() {
        let is_root = ["src/lib.rs", "src/main.rs"].iter().any(|end| source.name().ends_with(end));
        if is_root && !source.text().starts_with("//! ") {
            silent.push(source.name().to_owned());
        }
    }
    assert!(
        silent.is_empty(),
        "a crate's root begins with what the crate is (`//! ...`): {silent:#?}"
    );
}

#[test]
fn licences_and_policy_are_there() {
    for (file, phrase) in [
        ("LICENSE-MIT", "Permission is hereby granted, free of charge"),
        ("LICENSE-APACHE", "Version 2.0, January 2004"),
        ("SECURITY.md", "Supported versions"),
        ("deny.toml", "[licenses]"),
    ] {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        assert!(text.contains(phrase), "{file} is missing, or lacks \"{phrase}\"");
    }
}

#[test]
fn sources_are_formatted() {
    let drivers = ["tests/drivers/flowsdk", "tests/drivers/mqtt5"];
    for folder in ["", "extensions", "examples/extensions/rust"].into_iter().chain(drivers) {
        let out = Command::new(env!("CARGO"))
            .args(["fmt", "--all", "--", "--check", "-l"])
            .current_dir(root().join(folder))
            .output()
            .expect("cargo fmt starts");
        assert!(
            out.status.success(),
            "run `cargo fmt --all` in /{folder} for:\n{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the repository")
        .to_path_buf()
}

/// All Rust sources of ours, by name.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in FOLDERS {
        collect(&root().join(folder), &mut sources);
    }
    sources.sort_by(|one, other| one.name().cmp(other.name()));
    sources
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder of ours is readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            // What is built or was installed is not ours.
            if !matches!(&*name, "target" | "node_modules" | "artifacts") && !name.starts_with('.')
            {
                collect(&path, sources);
            }
        } else if name.ends_with(".rs") {
            sources.push(Source::read(&root(), &path));
        }
    }
}
