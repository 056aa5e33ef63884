//! C: clang with wasi-libc, and bindings that wit-bindgen makes. The component imports no WASI: nothing of the library that would
//! is linked.

use std::path::PathBuf;
use std::process::Command;

use super::{WORLD, Workshop};
use crate::command::{cargo, find, output, run};
use crate::component::{self, Component};
use crate::extensions::STACK_BYTES;
use crate::failure::Failure;
use crate::packages::{self, Package};
use crate::root::Root;

const PURPOSE: &str = "extensions in C";

/// The version that the bindings are made with.
const WIT_BINDGEN: &str = "0.61.1";

/// Debian 12's compiler, and that of the release after it.
const CLANG_14: [Package; 4] = [
    Package { name: "clang-14", brings: "clang-14" },
    Package { name: "lld-14", brings: "wasm-ld-14" },
    Package {
        name: "libclang-rt-14-dev-wasm32",
        brings: "/usr/share/doc/libclang-rt-14-dev-wasm32",
    },
    Package { name: "wasi-libc", brings: "/usr/include/wasm32-wasi" },
];
const CLANG_19: [Package; 4] = [
    Package { name: "clang-19", brings: "clang-19" },
    Package { name: "lld-19", brings: "wasm-ld-19" },
    Package {
        name: "libclang-rt-19-dev-wasm32",
        brings: "/usr/share/doc/libclang-rt-19-dev-wasm32",
    },
    Package { name: "wasi-libc", brings: "/usr/include/wasm32-wasi" },
];

pub(super) fn install(root: &Root) -> Result<(), Failure> {
    packages::ensure(compiler(), PURPOSE)?;
    wit_bindgen(root).map(drop)
}

/// The packages of the compiler that this system has, or could have.
fn compiler() -> &'static [Package; 4] {
    let offers = |package: &Package| {
        find(package.brings).is_some()
            || packages::has_apt()
                && output(Command::new("apt-cache").args(["show", package.name])).is_ok()
    };
    if offers(&CLANG_14[0]) || !offers(&CLANG_19[0]) { &CLANG_14 } else { &CLANG_19 }
}

pub(super) fn build(workshop: &Workshop<'_>) -> Result<Component, Failure> {
    let Workshop { root, sources, wit, scratch } = workshop;
    run(Command::new(wit_bindgen(root)?)
        .args(["c", "--world", WORLD, "--out-dir"])
        .arg(scratch)
        .arg(wit))?;
    let module = scratch.join("tenants.wasm");
    run(Command::new(compiler()[0].brings)
        .args(["--target=wasm32-wasi", "-mexec-model=reactor", "-std=c11", "-Os", "-flto"])
        .args(["-Wall", "-Wextra", "-Werror", "-I"])
        .arg(scratch)
        .args(["hooks.c", "member.c", "settings.c", "text.c"].map(|name| sources.join(name)))
        .args(["tenants.c", "tenants_component_type.o"].map(|name| scratch.join(name)))
        .arg(format!("-Wl,-z,stack-size={STACK_BYTES},--strip-all"))
        .arg("-o")
        .arg(&module))?;
    component::from_module(&module)
}

/// Builds it unoptimised: that takes longer than all that it does.
fn wit_bindgen(root: &Root) -> Result<PathBuf, Failure> {
    let own = root.target("wit-bindgen");
    let program = own.join("bin/wit-bindgen");
    let is_there = program.is_file()
        && output(Command::new(&program).arg("--version"))
            .is_ok_and(|text| text.contains(WIT_BINDGEN));
    if !is_there {
        eprintln!("installing into {}: wit-bindgen-cli {WIT_BINDGEN}", own.display());
        run(cargo()
            .current_dir(root.path())
            .args(["install", "--locked", "--debug", "wit-bindgen-cli", "--version", WIT_BINDGEN])
            .args(["--no-default-features", "--features", "c"])
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .arg("--root")
            .arg(&own)
            .arg("--target-dir")
            .arg(own.join("build")))?;
    }
    Ok(program)
}
