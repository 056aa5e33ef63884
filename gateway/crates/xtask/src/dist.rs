//! `cargo xtask dist`: the gateway as it is shipped, for one target.

mod archive;
pub(crate) mod budget;
pub(crate) mod build;
mod sbom;
mod sums;
pub(crate) mod target;
mod zig;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::output;
use crate::extensions::{self, SHIPPED};
use crate::failure::Failure;
use crate::root::Root;
use crate::wasm_toolchain::{self, WasmToolchain};

use build::{Build, Built};
use sbom::Parts;
use target::Target;

const USAGE: &str = "usage: cargo xtask dist [--target TARGET] [--runtime-only] [--key FILE]";

/// What this project is released as.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What of the repository goes along as it is, with where it goes; besides what tells of the gateway.
const FILES: [(&str, &str); 6] = [
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("SECURITY.md", "SECURITY.md"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("examples/gateway.toml", "examples/gateway.toml"),
];
const DOCUMENTS: &str = "gateway";

/// The names in what is shipped.
const PROGRAM: &str = "portcullis";
const SBOM: &str = "sbom.cdx.json";

/// Rust's standard library in the list of parts.
const STD: &str = "rust-std";
const STD_LICENCE: &str = "MIT OR Apache-2.0";

#[derive(Debug)]
struct Order {
    build: Build,
    key: Option<PathBuf>,
}

/// Builds, and puts together what is shipped: below `target/dist`, as a folder and as an archive.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let order = parse(words)?;
    let built = build::gateway(root, order.build)?;
    let components = extensions::build(root)?;
    let name = format!("portcullis-{VERSION}-{}", order.build.name());
    let folder = root.target("dist").join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::file("remove", &folder))?;
    }
    copy(&built.program, &folder.join(PROGRAM))?;
    for extension in SHIPPED {
        let file = format!("{extension}.wasm");
        copy(&components.join(&file), &folder.join("extensions").join(file))?;
    }
    documents(root, &folder)?;
    describe(root, order.build, &built, &folder)?;
    let files = files(&folder)?;
    sums::write(&folder, &files)?;
    match &order.key {
        Some(key) => println!("signed by {}", sums::sign(&folder, key)?),
        None => println!("not signed: there is no --key"),
    }
    let archive = archive::pack(&root.target("dist"), &name, build::moment(root))?;
    report(&folder, &archive, &built)?;
    // At the end, so that what is too large can be looked at.
    budget::check(order.build, &folder.join(PROGRAM))
}

fn parse(words: &[&str]) -> Result<Order, Failure> {
    let usage = || Failure::Usage(USAGE.to_owned());
    let (mut target, mut runtime_only, mut key) = (None, false, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--runtime-only" if !runtime_only => runtime_only = true,
            "--target" if target.is_none() => {
                target = Some(Target::named(words.next().ok_or_else(usage)?)?);
            }
            "--key" if key.is_none() => {
                key = Some(PathBuf::from(words.next().ok_or_else(usage)?));
            }
            _ => return Err(usage()),
        }
    }
    let target = target.map_or_else(|| Target::named(&crate::toolchain::host()?), Ok)?;
    Ok(Order { build: Build { target, runtime_only }, key })
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let above = to.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(above).map_err(Failure::file("create", above))?;
    fs::copy(from, to).map(drop).map_err(Failure::file("copy", from))
}

fn documents(root: &Root, folder: &Path) -> Result<(), Failure> {
    for (from, to) in FILES {
        copy(&root.join(from), &folder.join(to))?;
    }
    let source = root.join(DOCUMENTS);
    for entry in fs::read_dir(&source).map_err(Failure::file("read", &source))? {
        let path = entry.map_err(Failure::file("read", &source))?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.file_name().unwrap_or_default();
            copy(&path, &folder.join(DOCUMENTS).join(name))?;
        }
    }
    Ok(())
}

/// Writes what all of it is made of.
fn describe(root: &Root, build: Build, built: &Built, folder: &Path) -> Result<(), Failure> {
    let mut parts = Parts::default();
    let choice = [&["--target", build.target.triple], build.features()].concat();
    let program = sums::sha256(&folder.join(PROGRAM))?;
    let gateway = parts.add(root.path(), "portcullis", &choice, &program)?;
    parts.add_beside(&gateway, STD, version_in(&built.compiler), STD_LICENCE);
    for linked in &built.linked {
        parts.add_beside(&gateway, linked.name, &linked.version, linked.licence);
    }
    // Extensions have a standard library of their own inside, which may be another compiler's.
    let guests = WasmToolchain::find()?.version()?;
    let guests = guests.lines().next().unwrap_or_default();
    let mut roots = vec![gateway];
    for extension in SHIPPED {
        let sum = sums::sha256(&folder.join("extensions").join(format!("{extension}.wasm")))?;
        let choice = ["--target", wasm_toolchain::TARGET];
        let package = format!("portcullis-{extension}");
        let extension = parts.add(&root.join("extensions"), &package, &choice, &sum)?;
        parts.add_beside(&extension, STD, version_in(guests), STD_LICENCE);
        roots.push(extension);
    }
    let properties = [
        ("target", build.target.triple),
        ("features", build.features_in_words()),
        ("rustc", &built.compiler),
        ("rustc of extensions", guests),
    ];
    let document = parts.document((PROGRAM, VERSION), &roots, &properties);
    let path = folder.join(SBOM);
    fs::write(&path, format!("{document:#}\n")).map_err(Failure::file("write", &path))
}

/// The version in `rustc 1.96.0 (…)`.
fn version_in(compiler: &str) -> &str {
    compiler.split(' ').nth(1).unwrap_or_default()
}

/// The files in a folder by their paths in it, sorted.
fn files(folder: &Path) -> Result<Vec<String>, Failure> {
    let mut find = Command::new("find");
    find.current_dir(folder).args([".", "-type", "f", "-printf", "%P\\n"]);
    let mut files: Vec<String> = output(&mut find)?.lines().map(str::to_owned).collect();
    files.sort();
    Ok(files)
}

fn report(folder: &Path, archive: &Path, built: &Built) -> Result<(), Failure> {
    println!("built by {}", built.compiler);
    for path in [&folder.join(PROGRAM), archive] {
        let bytes = fs::metadata(path).map_err(Failure::file("read", path))?.len();
        let sum = sums::sha256(path)?;
        println!("{}: {:.1} MB, sha256 {sum}", path.display(), bytes as f64 / 1e6);
    }
    Ok(())
}
