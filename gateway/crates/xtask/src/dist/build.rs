//! The gateway for a target, the same on each machine with the same toolchain.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
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
const SMALL: [&str; 4] =
    ["portcullis-extension-host", "portcullis-transport", "quinn-proto", "wasmtime"];

/// What of the standard library is built where it is not there. The gateway unwinds: a panic in sled when it opens a damaged
/// database is caught and answered.
const STD: &str = "std,panic_unwind";

/// Builds for other targets have a folder of their own, so that no toolchain finds what another has built.
const FOLDER: &str = "cross";

/// Where programs are put aside: all builds for a target have one path in cargo's own folders.
const PROGRAMS: &str = "cross/programs";

/// What is to be built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Build {
    pub(crate) target: &'static Target,
    /// Whether the gateway is to have no compiler, and to load only what was compiled elsewhere.
    pub(crate) runtime_only: bool,
}

impl Build {
    /// The usual one for this machine.
    pub(crate) fn for_this_machine() -> Result<Self, Failure> {
        Ok(Self { target: Target::named(&toolchain::host()?)?, runtime_only: false })
    }

    /// What tells its artefacts from others of the same version.
    pub(crate) fn name(self) -> String {
        format!("{}{}", self.target.triple, if self.runtime_only { "-runtime-only" } else { "" })
    }

    /// The arguments by which cargo chooses the gateway's features. What runs on workstations compiles extensions for all
    /// boards; a board compiles for itself, and has no use for that code.
    pub(crate) fn features(self) -> &'static [&'static str] {
        match (self.runtime_only, self.target.is_for_workstations()) {
            (true, _) => &["--no-default-features"],
            (false, true) => &["--features", "cross"],
            (false, false) => &[],
        }
    }

    /// The same, for people.
    pub(crate) fn features_in_words(self) -> &'static str {
        match (self.runtime_only, self.target.is_for_workstations()) {
            (true, _) => "runtime only",
            (false, true) => "default and cross",
            (false, false) => "default",
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Built {
    /// The gateway, without symbols.
    pub(crate) program: PathBuf,
    /// The toolchain, in the words of its compiler.
    pub(crate) compiler: String,
    /// What is linked with it beside packages of cargo and Rust's standard library.
    pub(crate) linked: Vec<Linked>,
}

/// A library that the C compiler brings, and that becomes a part of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linked {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) licence: &'static str,
}

/// What a build takes of the C compiler.
#[derive(Default)]
struct Equipment {
    /// For rustc.
    flags: &'static [&'static str],
    linked: Vec<Linked>,
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
    let equipment = equip(root, target, &mut cargo)?;
    cargo.env("CARGO_ENCODED_RUSTFLAGS", toolchain::flags(root.path(), equipment.flags));
    cargo.env("SOURCE_DATE_EPOCH", moment(root).to_string());
    // Nobody builds a release twice in one folder after a change of a line.
    cargo.env("CARGO_INCREMENTAL", "0");
    run(&mut cargo)?;
    let program = folder.join(target.triple).join(PROFILE).join("portcullis");
    let program = put_aside(&program, &root.target(PROGRAMS), &build.name())?;
    let version = toolchain.version()?;
    let compiler = version.lines().next().unwrap_or_default().to_owned();
    Ok(Built { program, compiler, linked: equipment.linked })
}

/// Keeps a program under a name that the next build does not write to.
fn put_aside(program: &Path, folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    let kept = folder.join(name);
    // Into place as a whole: the one before may be running.
    let new = folder.join(format!("{name}.new"));
    fs::copy(program, &new).map_err(Failure::file("copy", program))?;
    fs::rename(&new, &kept).map_err(Failure::file("replace", &kept))?;
    Ok(kept)
}

/// Gives cargo what compiles C and links for the target.
fn equip(root: &Root, target: &Target, cargo: &mut Command) -> Result<Equipment, Failure> {
    let name = target.in_variables();
    // Assertions in C name the file that they are in.
    let maps = toolchain::remapped(root.path());
    let maps = maps.map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()));
    cargo.env(format!("CFLAGS_{name}"), maps.join(" "));
    let (cc, ar, equipment): (PathBuf, PathBuf, _) = match &target.tools {
        Tools::Gcc { .. } if target.is_this_machine() => return Ok(Equipment::default()),
        Tools::Gcc { prefix, packages } => {
            packages::ensure(packages, "linking for other machines")?;
            (format!("{prefix}-gcc").into(), format!("{prefix}-ar").into(), Equipment::default())
        }
        Tools::Zig { triple } => {
            let zig = zig::ensure(root, triple)?;
            // What a program starts with comes from zig, and not from the toolchain.
            let flags: &[&str] = &["-Clink-self-contained=no"];
            (zig.cc, zig.ar, Equipment { flags, linked: zig.linked })
        }
    };
    cargo.env(format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), &cc);
    cargo.env(format!("CC_{name}"), cc).env(format!("AR_{name}"), ar);
    Ok(equipment)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_on_workstations_compiles_for_boards_and_no_board_does() {
        let build =
            |triple, runtime_only| Build { target: Target::named(triple).unwrap(), runtime_only };
        let workstation = "x86_64-unknown-linux-gnu";
        assert_eq!(build(workstation, false).features(), ["--features", "cross"]);
        assert_eq!(build(workstation, true).features(), ["--no-default-features"]);
        for triple in ["aarch64-unknown-linux-gnu", "armv7-unknown-linux-gnueabihf"] {
            assert!(build(triple, false).features().is_empty(), "{triple}");
            assert_eq!(build(triple, true).features(), ["--no-default-features"]);
        }
    }

    #[test]
    fn one_build_does_not_take_the_place_of_another() {
        let above = env::temp_dir().join(format!("portcullis-build-{}", std::process::id()));
        fs::create_dir_all(&above).unwrap();
        let program = above.join("portcullis");
        fs::write(&program, "full").unwrap();
        let full = put_aside(&program, &above.join("programs"), "full").unwrap();
        fs::write(&program, "runtime only").unwrap();
        let other = put_aside(&program, &above.join("programs"), "runtime-only").unwrap();
        assert_eq!(fs::read_to_string(full).unwrap(), "full");
        assert_eq!(fs::read_to_string(other).unwrap(), "runtime only");
        fs::remove_dir_all(above).unwrap();
    }
}
