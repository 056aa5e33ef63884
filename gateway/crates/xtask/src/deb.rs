//! `cargo xtask deb`: a Debian package of the gateway, its extensions, its unit and its documentation.

mod check;
mod control;
mod elf;
mod tree;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{cargo, output, run as run_program};
use crate::failure::Failure;
use crate::options::Options;
use crate::packages::{self, Package};
use crate::root::Root;
use crate::{extensions, pages};

use elf::Program;
use tree::Tree;

pub(crate) use check::run as check;

pub(crate) const USAGE: &str = "usage: cargo xtask deb [--binary PATH] [--host-binary PATH] [--code-key FILE] [--version V] \
     [--stage DIR] [--out DIR]";

const NAMES: [&str; 6] =
    ["--binary", "--host-binary", "--code-key", "--version", "--stage", "--out"];

/// What makes packages, and looks through them.
const TOOLS: [Package; 4] = [
    Package { name: "dpkg", brings: "dpkg-deb" },
    Package { name: "binutils", brings: "readelf" },
    Package { name: "gzip", brings: "gzip" },
    Package { name: "lintian", brings: "lintian" },
];

/// What lintian says and does not apply: the project has no bug in Debian's tracker to close and no address for mail, and
/// INSTALL.md is about running it.
const NOT_FOR_US: &str = "initial-upload-closes-no-bugs,bogus-mail-host,bogus-mail-host-in-debian-changelog,\
     package-contains-upstream-installation-documentation";

/// What a package is made of.
pub(crate) struct Order {
    /// The gateway in it.
    pub(crate) binary: PathBuf,
    /// A gateway that runs here: it tells its help, and compiles for one that has no compiler.
    pub(crate) host: PathBuf,
    /// The private key that signs code, for a gateway without a compiler.
    pub(crate) code_key: Option<PathBuf>,
    pub(crate) version: String,
}

/// Makes the package, or only its tree.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let options = Options::parse(words, &NAMES, USAGE)?;
    packages::ensure(&TOOLS, "a Debian package")?;
    let path = |name: &str| options.text(name).map(PathBuf::from);
    let host = match path("--host-binary").or_else(|| path("--binary")) {
        Some(named) => named,
        None => release(root)?,
    };
    let order = Order {
        binary: path("--binary").unwrap_or_else(|| host.clone()),
        host,
        code_key: path("--code-key"),
        version: options.text("--version").unwrap_or(env!("CARGO_PKG_VERSION")).to_owned(),
    };
    if let Some(stage) = path("--stage") {
        stage_tree(root, &order, &stage)?;
        Tree::at(root, &stage).state()?;
        println!("{} has the tree of the package", stage.display());
        return Ok(());
    }
    let out = path("--out").unwrap_or_else(|| root.target("deb"));
    let package = build(root, &order, &out)?;
    lint(&package)?;
    let bytes = fs::metadata(&package).map_err(Failure::file("read", &package))?.len();
    println!(
        "{}: {:.1} MiB, lintian has nothing to say",
        package.display(),
        bytes as f64 / 1048576.0
    );
    Ok(())
}

/// The gateway as it is released, for this machine.
pub(crate) fn release(root: &Root) -> Result<PathBuf, Failure> {
    let mut build = cargo();
    build.current_dir(root.path());
    run_program(build.args(["build", "--locked", "--release", "--package", "portcullis"]))?;
    Ok(root.target("release/portcullis"))
}

/// Makes the package in `out`.
pub(crate) fn build(root: &Root, order: &Order, out: &Path) -> Result<PathBuf, Failure> {
    let stage = root.target("deb/tree");
    let program = stage_tree(root, order, &stage)?;
    control::write(root, order, &program, &stage)?;
    fs::create_dir_all(out).map_err(Failure::file("create", out))?;
    let name = format!("portcullis_{}_{}.deb", order.version, program.architecture());
    let package = out.join(name);
    run_program(
        Command::new("dpkg-deb")
            .env("SOURCE_DATE_EPOCH", epoch(root)?)
            .args(["--root-owner-group", "-Zxz", "--build"])
            .args([&stage, &package]),
    )?;
    Ok(package)
}

/// Lays out the files as they are installed.
fn stage_tree(root: &Root, order: &Order, stage: &Path) -> Result<Program, Failure> {
    if stage.exists() {
        fs::remove_dir_all(stage).map_err(Failure::file("remove", stage))?;
    }
    let tree = Tree::at(root, stage);
    let program = Program::read(&order.binary)?;
    tree.program(&order.binary, &program)?;
    let built = extensions::build(root)?;
    let components = extensions::SHIPPED.map(|name| built.join(format!("{name}.wasm")));
    tree.extensions(&components)?;
    match &order.code_key {
        Some(key) => tree.code(&order.host, key, &program, &components)?,
        None => tree.configuration("")?,
    }
    tree.system()?;
    let usage = pages::ask(&order.host)?;
    pages::write(&usage, &order.version, &date(root, "%Y-%m-%d")?, stage)?;
    tree.documentation(&order.version, &date(root, "%a, %d %b %Y %H:%M:%S +0000")?)?;
    Ok(program)
}

fn lint(package: &Path) -> Result<(), Failure> {
    run_program(
        Command::new("lintian")
            .args(["--fail-on", "error,warning", "--suppress-tags", NOT_FOR_US])
            .arg(package),
    )
}

/// When what is packaged was written, so that the same tree makes the same package: a time in seconds.
fn epoch(root: &Root) -> Result<String, Failure> {
    if let Ok(stated) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(stated);
    }
    output(Command::new("git").current_dir(root.path()).args(["log", "-1", "--format=%ct"]))
}

fn date(root: &Root, format: &str) -> Result<String, Failure> {
    let epoch = epoch(root)?;
    output(Command::new("date").env("LC_ALL", "C").args([
        "--utc",
        "--date",
        &format!("@{epoch}"),
        &format!("+{format}"),
    ]))
}
