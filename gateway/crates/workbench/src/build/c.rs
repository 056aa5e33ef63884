//! C: `wit-bindgen` writes the bindings, clang makes a core module of them and the source.

use std::fs;
use std::path::Path;
use std::process::Command;

use config::Project;

use super::{WORLD, module, program};
use crate::failure::Failure;

/// A guest's stack; it lies below its data, so that an overflow is a trap and no silent damage.
const STACK_BYTES: u32 = 64 * 1024;

const BINDINGS: &str = "`cargo install wit-bindgen-cli --version 0.61.1`";
const COMPILER: &str =
    "on Debian `apt install clang lld wasi-libc libclang-rt-dev-wasm32`, elsewhere the WASI SDK";

pub(super) fn build(project: &Project, made: &Path, component: &Path) -> Result<(), Failure> {
    let bindgen = program::first(&["wit-bindgen"], BINDINGS)?;
    let clang = program::first(&["clang", "clang-19", "clang-16", "clang-14"], COMPILER)?;
    let bindings = made.join("bindings");
    fs::create_dir_all(&bindings).map_err(Failure::file("create", &bindings))?;
    program::run(
        Command::new(bindgen)
            .args(["c", "--world", WORLD, "--out-dir"])
            .arg(&bindings)
            .arg(project.folder.join("wit")),
    )?;
    let module = made.join("core.wasm");
    program::run(
        Command::new(clang)
            .args(["--target=wasm32-wasi", "-mexec-model=reactor", "-Os", "-Wall", "-Wextra"])
            .arg(format!("-Wl,-zstack-size={STACK_BYTES}"))
            .args(["-Wl,--stack-first", "-Wl,--strip-all"])
            .arg("-I")
            .arg(&bindings)
            .arg(&project.source)
            .arg(bindings.join(format!("{WORLD}.c")))
            .arg(bindings.join(format!("{WORLD}_component_type.o")))
            .arg("-o")
            .arg(&module),
    )?;
    module::to_component(&module, component)
}
