//! Rust: cargo, for `wasm32-unknown-unknown`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use config::Project;

use super::{module, program};
use crate::failure::Failure;

/// Components made from it import nothing but the contract.
const TARGET: &str = "wasm32-unknown-unknown";

/// A guest's stack. The usual 1 MiB must be cleared for each new instance; hooks use a few KiB.
const STACK_BYTES: u32 = 64 * 1024;

/// Where Debian's packages put what they bring.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library";

/// What can build for the target.
enum Toolchain {
    /// The toolchain that is in use, which has the target.
    Active,
    /// Debian's, which builds the standard library first.
    Debian { linker: PathBuf },
}

pub(super) fn build(project: &Project, made: &Path, component: &Path) -> Result<(), Failure> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| made.join("target"), PathBuf::from);
    let mut cargo = Toolchain::find(&project.folder)?.cargo();
    program::run(
        cargo
            .args(["--release", "--lib", "--manifest-path"])
            .arg(project.folder.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .args(["--", "-C", &format!("link-arg=-zstack-size={STACK_BYTES}")]),
    )?;
    let library = project.name.replace('-', "_");
    let module = target.join(TARGET).join(format!("release/{library}.wasm"));
    if !fs::exists(&module).map_err(Failure::file("look for", &module))? {
        return Err(Failure::Other(format!(
            "cargo did not make {}; the package in Cargo.toml must be called \"{}\" as in extension.toml, and have \
             crate-type = [\"cdylib\"]",
            module.display(),
            project.name
        )));
    }
    module::to_component(&module, component)
}

impl Toolchain {
    fn find(folder: &Path) -> Result<Self, Failure> {
        let rustc = |arguments: &[&str]| {
            program::output(Command::new("rustc").args(arguments).current_dir(folder))
        };
        let sysroot = rustc(&["--print", "sysroot"]).map(PathBuf::from);
        let has_target =
            |sysroot: &PathBuf| sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir();
        if sysroot.as_ref().is_some_and(has_target) {
            return Ok(Self::Active);
        }
        if Path::new(DEBIAN_CARGO).is_file() && Path::new(DEBIAN_LIBRARY).is_dir() {
            let host = rustc(&["-vV"]).unwrap_or_default();
            let host = host.lines().find_map(|line| line.strip_prefix("host: "));
            let bundled = sysroot
                .zip(host)
                .map(|(sysroot, host)| sysroot.join("lib/rustlib").join(host).join("bin/rust-lld"));
            let linker = bundled.filter(|linker| linker.is_file());
            let linker = linker
                .map_or_else(|| program::first(&["wasm-ld"], "install the package lld"), Ok)?;
            return Ok(Self::Debian { linker });
        }
        Err(Failure::Other(format!(
            "no Rust toolchain here builds for {TARGET}: run `rustup target add {TARGET}`, or on Debian `apt install \
             rustc-web cargo-web rust-web-src lld`"
        )))
    }

    /// `cargo rustc --target ...`, to be completed.
    fn cargo(&self) -> Command {
        let mut command = match self {
            Self::Active => Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
            Self::Debian { linker } => {
                let mut command = Command::new(DEBIAN_CARGO);
                // Cargo takes its rustc from PATH; rustup's variables would lead it back to rustup's.
                command.env("PATH", "/usr/bin:/bin");
                for name in ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTFLAGS", "LD_LIBRARY_PATH", "CARGO"] {
                    command.env_remove(name);
                }
                // Building the standard library is the one unstable feature that is asked for.
                command.env("RUSTC_BOOTSTRAP", "1");
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                command
            }
        };
        command.args(["rustc", "--target", TARGET]);
        if matches!(self, Self::Debian { .. }) {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        command
    }
}
