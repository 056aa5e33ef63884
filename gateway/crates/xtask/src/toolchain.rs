//! A Rust toolchain that builds for another target than this machine's.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{cargo, find, forget_own_package, output, run};
use crate::failure::Failure;
use crate::packages::{self, Package};

/// Set to `distro`: take Debian's toolchain where the active one lacks the target, and ask rustup for nothing.
const CHOICE: &str = "PORTCULLIS_TARGETS";

/// Debian builds these three from one source: their versions always belong together.
const DEBIAN: [Package; 3] = [
    Package { name: "rustc-web", brings: "/usr/bin/rustc" },
    Package { name: "cargo-web", brings: "/usr/bin/cargo" },
    Package { name: "rust-web-src", brings: "/usr/lib/rustlib/src/rust/library" },
];

/// Where the standard library for a target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The active toolchain has it.
    Active,
    /// Debian's toolchain builds it from its source.
    Debian,
}

impl Toolchain {
    /// Finds a toolchain and, where there is none, gets one: the target of the active toolchain; Debian's
    /// toolchain if `PORTCULLIS_TARGETS=distro`; else rustup's target; else Debian's toolchain.
    pub(crate) fn find(target: &str, purpose: &str) -> Result<Self, Failure> {
        if active_sysroot()?.join("lib/rustlib").join(target).is_dir() {
            return Ok(Self::Active);
        }
        match env::var(CHOICE).ok().as_deref() {
            Some("distro") => return debian(target, purpose),
            None | Some("") => {}
            Some(other) => {
                return Err(Failure::Other(format!(
                    "{CHOICE} is \"{other}\"; it is \"distro\" for Debian's toolchain, or not set"
                )));
            }
        }
        if find("rustup").is_some()
            && run(Command::new("rustup").args(["target", "add", target])).is_ok()
        {
            return Ok(Self::Active);
        }
        if packages::has_apt() {
            return debian(target, purpose);
        }
        Err(Failure::Other(format!(
            "no toolchain here builds for {target}: run `rustup target add {target}`, or install the target that \
             comes with this system's Rust"
        )))
    }

    /// `cargo SUBCOMMAND --target TARGET`, to be completed. Where the standard library has to be built, it is these parts
    /// of it.
    pub(crate) fn cargo(self, subcommand: &str, target: &str, std: &str) -> Command {
        let mut command = match self {
            Self::Active => cargo(),
            Self::Debian => {
                let mut command = Command::new("/usr/bin/cargo");
                // Cargo takes its rustc from PATH; rustup's variables would lead it back to rustup's.
                command.env("PATH", "/usr/bin:/bin");
                for name in ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTFLAGS", "LD_LIBRARY_PATH", "CARGO"] {
                    command.env_remove(name);
                }
                forget_own_package(&mut command);
                // Building the standard library is the one unstable feature that is asked for.
                command.env("RUSTC_BOOTSTRAP", "1");
                command
            }
        };
        command.args([subcommand, "--target", target]);
        if self == Self::Debian {
            command.arg(format!("-Zbuild-std={std}"));
        }
        command
    }

    /// What distinguishes this toolchain's output from another's.
    pub(crate) fn version(self) -> Result<String, Failure> {
        match self {
            Self::Active => output(Command::new("rustc").arg("-vV")),
            Self::Debian => output(Command::new("/usr/bin/rustc").arg("-vV")),
        }
    }
}

/// Where the active toolchain is.
pub(crate) fn active_sysroot() -> Result<PathBuf, Failure> {
    output(Command::new("rustc").args(["--print", "sysroot"])).map(PathBuf::from)
}

/// The target of the active toolchain for this machine itself.
pub(crate) fn host() -> Result<String, Failure> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.unwrap_or_default().to_owned())
}

/// Folders whose place on this machine is not to be found in what is built, each with what stands for it there. Where
/// several fit, the last one counts.
pub(crate) fn remapped(root: &Path) -> [(PathBuf, &'static str); 2] {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    [(cargo, "/cargo"), (root.to_path_buf(), "/portcullis")]
}

/// Has rustc write those for them, and nothing of what the user's environment asks rustc for: for
/// `CARGO_ENCODED_RUSTFLAGS`.
pub(crate) fn flags(root: &Path, more: &[&str]) -> String {
    let remap =
        |(from, to): (PathBuf, &str)| format!("--remap-path-prefix={}={to}", from.display());
    let flags = remapped(root).map(remap).into_iter().chain(more.iter().map(ToString::to_string));
    flags.collect::<Vec<_>>().join("\x1f")
}

fn debian(target: &str, purpose: &str) -> Result<Toolchain, Failure> {
    packages::ensure(&DEBIAN, purpose)?;
    // Debian stable has an old Rust beside the one that its security updates bring.
    if debian_version()? < minimum() {
        packages::renew(&DEBIAN)?;
    }
    if debian_version()? < minimum() {
        return Err(Failure::Other(format!(
            "Debian's rustc-web has version {}, and {purpose} takes {} or later: enable the security updates of this \
             system's release, or run `rustup target add {target}`",
            output(Command::new("/usr/bin/rustc").arg("--version"))?,
            env!("CARGO_PKG_RUST_VERSION"),
        )));
    }
    Ok(Toolchain::Debian)
}

/// The version of Debian's compiler.
fn debian_version() -> Result<(u32, u32), Failure> {
    let text = output(Command::new("/usr/bin/rustc").arg("--version"))?;
    Ok(version_in(text.strip_prefix("rustc ").unwrap_or_default()))
}

/// The oldest version that this project builds with.
fn minimum() -> (u32, u32) {
    version_in(env!("CARGO_PKG_RUST_VERSION"))
}

/// The first two numbers of `1.96.0 (…)`; what is not a number counts as 0, older than everything.
fn version_in(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(
            version_in("1.96.0 (0a1b2c3d4 2026-05-25) (built from a source tarball)"),
            (1, 96)
        );
        assert!(version_in("1.100.0") > version_in("1.96.1"));
        assert!(version_in("") < minimum());
    }
}
