//! Rust: `wasm32-unknown-unknown`, as the shipped extensions.

use super::Workshop;
use crate::command::run;
use crate::component::{self, Component};
use crate::extensions::STACK_BYTES;
use crate::failure::Failure;
use crate::root::Root;
use crate::wasm_toolchain::{TARGET, WasmToolchain};

pub(super) fn install(_: &Root) -> Result<(), Failure> {
    WasmToolchain::find().map(drop)
}

pub(super) fn build(workshop: &Workshop<'_>) -> Result<Component, Failure> {
    // The folder of the shipped extensions: its standard library is built already.
    let target = workshop.root.target("guest");
    run(WasmToolchain::find()?
        .cargo("rustc")
        .args(["--locked", "--release", "--manifest-path"])
        .arg(workshop.sources.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .args(["--", "-C", &format!("link-arg=-zstack-size={STACK_BYTES}")]))?;
    component::from_module(&target.join(TARGET).join("release/tenants.wasm"))
}
