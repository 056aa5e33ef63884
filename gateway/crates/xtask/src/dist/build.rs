//! The gateway for a target, the same on each machine with the same toolchain.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::command::{output, run};
use crate::dist::target::{Target, Tools};
use crate::dist::zig;
use crate::failure::Failure;
use crate::packages;
use crate::root::Root;
use crate::toolchain::{self, Toolchain};

/// The profile of what is shipped; Cargo.toml tells what it is.
const PROFILE: &str = "dist";

/// Of a gateway without a compiler these are small, too: it is for the smallest boards. Asking guests costs a tenth more for it.
const SMALL: [&str; 3] = ["portcullis-extension-host", "quinn-proto", "wasmtime"];

/// What of the standard library is built where it is not there. The gateway unwinds: a panic in sled when it opens a damaged
/// database is caught and answered.
const STD: &str = "std,panic_unwind";

/// Builds for other targets have a folder of their own, so that no toolchain finds what another has built.
const FOLDER: &str = "cross";

/// What is to be built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Build {
    pub(crate) target: &'static Target,
    /// Whether the gateway is to have no compiler, and to load only what was compiled elsewhere.
    pub(crate) runtime_only: bool,
}

impl Build {
    /// What tells its artefacts from others of the same version.
    pub(crate) fn name(self) -> String {
        format!("{}{}", self.target.triple, if self.runtime_only { "-runtime-only" } else { "" })
    }

    /// The arguments by which cargo chooses the gateway's features.
    pub(crate) fn features(self) -> &'static [&'static str] {
        if self.runtime_only { &["--no-default-features"] } else { &[] }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Built {
    /// The gateway, without symbols.
    pub(crate) program: PathBuf,
    /// The toolchain, in the words of its compiler.
    pub(crate) compiler: String,
}

/// Builds the gateway.
pub(crate) fn gateway(root: &Root, build: Build) -> Result<Built, Failure> {
    let target = build.target;
    let toolchain = Toolchain::find(target.triple, "building for other machines")?;
    let folder = root.target(FOLDER);
    let mut cargo = toolchain.cargo("build", target.triple, STD);
    cargo.current_dir(root.path()).args(["--locked", "--profile", PROFILE]);
    cargo.args(["--package", "portcullis", "--bin", "portcullis"]).args(build.features());
    for package in SMALL.iter().filter(|_| build.runtime_only) {
        cargo.arg("--config").arg(format!("profile.{PROFILE}.package.{package}.opt-level=\"s\""));
    }
    cargo.arg("--target-dir").arg(&folder);
    let flags = equip(root, target, &mut cargo)?;
    cargo.env("CARGO_ENCODED_RUSTFLAGS", toolchain::flags(root.path(), flags));
    cargo.env("SOURCE_DATE_EPOCH", moment(root).to_string());
    // Nobody builds a release twice in one folder after a change of a line.
    cargo.env("CARGO_INCREMENTAL", "0");
    run(&mut cargo)?;
    let program = folder.join(target.triple).join(PROFILE).join("portcullis");
    let version = toolchain.version()?;
    let compiler = version.lines().next().unwrap_or_default().to_owned();
    Ok(Built { program, compiler })
}

/// Gives cargo what compiles C and links for the target; the answer is for rustc.
fn equip(
    root: &Root,
    target: &Target,
    cargo: &mut Command,
) -> Result<&'static [&'static str], Failure> {
    let name = target.in_variables();
    // Assertions in C name the file that they are in.
    let maps = toolchain::remapped(root.path());
    let maps = maps.map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()));
    cargo.env(format!("CFLAGS_{name}"), maps.join(" "));
    let (cc, ar, flags): (PathBuf, PathBuf, &[&str]) = match &target.tools {
        Tools::Gcc { .. } if target.is_this_machine() => return Ok(&[]),
        Tools::Gcc { prefix, packages } => {
            packages::ensure(packages, "linking for other machines")?;
            (format!("{prefix}-gcc").into(), format!("{prefix}-ar").into(), &[])
        }
        Tools::Zig { triple } => {
            let zig = zig::ensure(root, triple)?;
            // What a program starts with comes from zig, and not from the toolchain.
            (zig.cc, zig.ar, &["-Clink-self-contained=no"])
        }
    };
    cargo.env(format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), &cc);
    cargo.env(format!("CC_{name}"), cc).env(format!("AR_{name}"), ar);
    Ok(flags)
}

/// Seconds since 1970 that stand for the time of the build: what the caller says, or when the last commit was made, or none.
pub(crate) fn moment(root: &Root) -> u64 {
    let stated = env::var("SOURCE_DATE_EPOCH").ok();
    let committed = || {
        let mut git = Command::new("git");
        git.arg("-C").arg(root.path()).args(["log", "-1", "--format=%ct"]);
        output(&mut git).ok()
    };
    stated.or_else(committed).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
