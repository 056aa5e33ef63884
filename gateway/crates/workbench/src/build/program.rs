//! Programs of toolchains.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;

/// Where a program is that the user can call.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The first of these that there is.
///
/// # Errors
/// None is there; `advice` says how to get one.
pub(super) fn first(names: &[&str], advice: &str) -> Result<PathBuf, Failure> {
    names.iter().find_map(|name| find(name)).ok_or_else(|| {
        Failure::Other(format!("there is no {} on this machine: {advice}", names.join(" or ")))
    })
}

/// Runs a program; what it says is for the author.
pub(super) fn run(command: &mut Command) -> Result<(), Failure> {
    let line = line_of(command);
    let status = command
        .status()
        .map_err(|error| Failure::Other(format!("`{line}` could not be started ({error})")))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Other(format!("`{line}` failed ({status}); see above")))
}

/// What a program writes to its standard output, without the last line end; nothing where it fails.
pub(super) fn output(command: &mut Command) -> Option<String> {
    let out = command.output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}

fn line_of(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
