//! A Rust toolchain that can build for `wasm32-unknown-unknown`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::find;
use crate::failure::Failure;
use crate::packages::{self, Package};
use crate::root::Root;
use crate::toolchain::{self, Toolchain};

/// The target of guests: components made from it import nothing but the contract.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// What of the standard library has to be built where it is not there.
const STD: &str = "std,panic_abort";

/// Where the Wasm target comes from.
#[derive(Debug)]
pub(crate) struct WasmToolchain {
    toolchain: Toolchain,
    /// A linker for Wasm, where the toolchain has none of its own.
    linker: Option<PathBuf>,
}

impl WasmToolchain {
    /// Finds a toolchain and, where there is none, gets one.
    pub(crate) fn find() -> Result<Self, Failure> {
        let toolchain = Toolchain::find(TARGET, "building extensions")?;
        let linker = (toolchain == Toolchain::Debian).then(linker).transpose()?;
        Ok(Self { toolchain, linker })
    }

    /// `cargo SUBCOMMAND --target wasm32-unknown-unknown`, to be completed.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = self.toolchain.cargo(subcommand, TARGET, STD);
        command.env("CARGO_ENCODED_RUSTFLAGS", toolchain::flags(Root::find().path(), &[]));
        if let Some(linker) = &self.linker {
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command
    }

    /// What distinguishes this toolchain's output from another's.
    pub(crate) fn version(&self) -> Result<String, Failure> {
        self.toolchain.version()
    }
}

/// The linker inside of the active toolchain, or Debian's.
fn linker() -> Result<PathBuf, Failure> {
    let within = Path::new("lib/rustlib").join(toolchain::host()?).join("bin/rust-lld");
    let bundled = toolchain::active_sysroot()?.join(within);
    if bundled.is_file() {
        return Ok(bundled);
    }
    packages::ensure(&[Package { name: "lld", brings: "wasm-ld" }], "linking extensions")?;
    Ok(find("wasm-ld").unwrap_or_else(|| "wasm-ld".into()))
}
