//! A Rust toolchain that can build for `wasm32-unknown-unknown`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{cargo, find, output, run};
use crate::failure::Failure;
use crate::packages::{self, Package};

/// The target of guests: components made from it import nothing but the contract.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Set to `distro`: take Debian's toolchain where the active one lacks the target, and ask rustup for nothing.
const CHOICE: &str = "PORTCULLIS_TARGETS";

/// Debian builds these three from one source: their versions always belong together.
const DEBIAN: [Package; 3] = [
    Package { name: "rustc-web", brings: "/usr/bin/rustc" },
    Package { name: "cargo-web", brings: "/usr/bin/cargo" },
    Package { name: "rust-web-src", brings: "/usr/lib/rustlib/src/rust/library" },
];

/// Where the Wasm target comes from.
#[derive(Debug)]
pub(crate) enum WasmToolchain {
    /// The active toolchain has it.
    Active,
    /// Debian's toolchain builds the standard library for it; the linker may be another toolchain's.
    Debian {
        /// A linker for Wasm.
        linker: PathBuf,
    },
}

impl WasmToolchain {
    /// Finds a toolchain and, where there is none, gets one: the target of the active toolchain; Debian's
    /// toolchain if `PORTCULLIS_TARGETS=distro`; else rustup's target; else Debian's toolchain.
    pub(crate) fn find() -> Result<Self, Failure> {
        let sysroot = PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?);
        if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
            return Ok(Self::Active);
        }
        match env::var(CHOICE).ok().as_deref() {
            Some("distro") => return Self::debian(&sysroot),
            None | Some("") => {}
            Some(other) => {
                return Err(Failure::Other(format!(
                    "{CHOICE} is \"{other}\"; it is \"distro\" for Debian's toolchain, or not set"
                )));
            }
        }
        let advice = format!("rustup target add {TARGET}");
        if find("rustup").is_some()
            && run(Command::new("rustup").args(["target", "add", TARGET])).is_ok()
        {
            return Ok(Self::Active);
        }
        if packages::has_apt() {
            return Self::debian(&sysroot);
        }
        Err(Failure::Other(format!(
            "no toolchain here builds for {TARGET}: run `{advice}`, or install the target that comes with \
             this system's Rust"
        )))
    }

    fn debian(sysroot: &Path) -> Result<Self, Failure> {
        packages::ensure(&DEBIAN, "building extensions")?;
        // Debian stable has an old Rust beside the one that its security updates bring.
        if debian_version()? < minimum() {
            packages::renew(&DEBIAN)?;
        }
        if debian_version()? < minimum() {
            return Err(Failure::Other(format!(
                "Debian's rustc-web has version {}, and the extensions take {} or later: enable the security \
                 updates of this system's release, or run `rustup target add {TARGET}`",
                output(Command::new("/usr/bin/rustc").arg("--version"))?,
                env!("CARGO_PKG_RUST_VERSION"),
            )));
        }
        let host = output(Command::new("rustc").arg("-vV"))?;
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let bundled = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
        if bundled.is_file() {
            return Ok(Self::Debian { linker: bundled });
        }
        packages::ensure(&[Package { name: "lld", brings: "wasm-ld" }], "linking extensions")?;
        Ok(Self::Debian { linker: find("wasm-ld").unwrap_or_else(|| "wasm-ld".into()) })
    }

    /// `cargo SUBCOMMAND --target wasm32-unknown-unknown`, to be completed.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = match self {
            Self::Active => cargo(),
            Self::Debian { linker } => {
                let mut command = Command::new("/usr/bin/cargo");
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
        command.args([subcommand, "--target", TARGET]);
        if matches!(self, Self::Debian { .. }) {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        command
    }

    /// What distinguishes this toolchain's output from another's.
    pub(crate) fn version(&self) -> Result<String, Failure> {
        match self {
            Self::Active => output(Command::new("rustc").arg("-vV")),
            Self::Debian { .. } => output(Command::new("/usr/bin/rustc").arg("-vV")),
        }
    }
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
