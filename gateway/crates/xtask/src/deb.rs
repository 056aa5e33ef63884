//! `cargo xtask deb`: a Debian package of the gateway, its extensions, its unit and its documentation.

mod check;
mod control;
mod elf;
mod order;
mod pack;
#[cfg(test)]
mod scripts;
mod stage;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{output, run as run_program};
use crate::dist::build;
use crate::failure::Failure;
use crate::options::Options;
use crate::packages::{self, Package};
use crate::root::Root;
use crate::{extensions, pages};

use order::Order;
use stage::Stage;
use tree::Tree;

pub(crate) use check::run as check;

const USAGE: &str = "usage: cargo xtask deb [--target TARGET | --binary PATH] [--host-binary PATH] [--code-key FILE] \
     [--version V] [--stage DIR] [--out DIR]";

const NAMES: [&str; 7] =
    ["--target", "--binary", "--host-binary", "--code-key", "--version", "--stage", "--out"];

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

/// Makes the package, or only its tree.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let options = Options::parse(words, &NAMES, USAGE)?;
    packages::ensure(&TOOLS, "a Debian package")?;
    // Before anything is built, which takes minutes.
    let staged = options.text("--stage").map(|dir| Stage::named(dir.as_ref())).transpose()?;
    let order = Order::read(root, &options)?;
    if let Some(stage) = staged {
        lay_out(root, &order, stage.path())?;
        Tree::at(root, stage.path(), order.name()).state()?;
        println!("{} has the tree of the package", stage.path().display());
        return Ok(());
    }
    let out = options.text("--out").map_or_else(|| root.target("deb"), PathBuf::from);
    let package = make(root, &order, &out)?;
    lint(&package)?;
    let bytes = fs::metadata(&package).map_err(Failure::file("read", &package))?.len();
    println!(
        "{}: {:.1} MiB, lintian has nothing to say",
        package.display(),
        bytes as f64 / 1048576.0
    );
    Ok(())
}

/// Makes the package in `out`.
fn make(root: &Root, order: &Order, out: &Path) -> Result<PathBuf, Failure> {
    let stage = Stage::own(&root.target("deb/tree"))?;
    lay_out(root, order, stage.path())?;
    control::write(root, order, stage.path())?;
    fs::create_dir_all(out).map_err(Failure::file("create", out))?;
    let architecture = order.program.architecture();
    let package = out.join(format!("{}_{}_{architecture}.deb", order.name(), order.version));
    pack::pack(stage.path(), &package, build::moment(root))?;
    Ok(package)
}

/// Lays out the files as they are installed.
fn lay_out(root: &Root, order: &Order, stage: &Path) -> Result<(), Failure> {
    let tree = Tree::at(root, stage, order.name());
    tree.program(&order.binary, &order.program)?;
    let built = extensions::build(root)?;
    let components = extensions::SHIPPED.map(|name| built.join(format!("{name}.wasm")));
    tree.extensions(&components)?;
    match &order.code {
        Some(code) => tree.code(code, &order.program, &components)?,
        None => tree.configuration("")?,
    }
    tree.system()?;
    let usage = pages::ask(&order.teller)?;
    pages::write(&usage, &order.version, &date(root, "%Y-%m-%d")?, stage)?;
    tree.documentation(&order.version, &date(root, "%a, %d %b %Y %H:%M:%S +0000")?)
}

fn lint(package: &Path) -> Result<(), Failure> {
    run_program(
        Command::new("lintian")
            .args(["--fail-on", "error,warning", "--suppress-tags", NOT_FOR_US])
            .arg(package),
    )
}

/// When what is packaged was written.
fn date(root: &Root, format: &str) -> Result<String, Failure> {
    let moment = format!("@{}", build::moment(root));
    let format = format!("+{format}");
    output(Command::new("date").env("LC_ALL", "C").args(["--utc", "--date", &moment, &format]))
}
