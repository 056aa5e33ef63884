//! Programs that the commands run: said aloud, waited for, failures named.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// Runs `command` with this terminal's input and output.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let line = line_of(command);
    eprintln!("+ {line}");
    let status =
        command.status().map_err(|error| Failure::Start { command: line.clone(), error })?;
    if status.success() { Ok(()) } else { Err(Failure::Program { command: line, status }) }
}

/// Runs `command`, which has nothing to say.
pub(crate) fn quietly(command: &mut Command) -> Result<(), Failure> {
    output(command).map(drop)
}

/// What `command` writes to its standard output, without the last line end.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let line = line_of(command);
    let out = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::Start { command: line.clone(), error })?;
    if !out.status.success() {
        return Err(Failure::Program { command: line, status: out.status });
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}

/// Runs `command`, shows each line of its standard output and hands it to `each`; tells whether it succeeded.
pub(crate) fn watch(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool, Failure> {
    let line = line_of(command);
    eprintln!("+ {line}");
    let start = |error| Failure::Start { command: line.clone(), error };
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(start)?;
    if let Some(stdout) = child.stdout.take() {
        for text in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&text);
            println!("{text}");
            each(&text);
        }
    }
    Ok(child.wait().map_err(start)?.success())
}

/// Cargo of the toolchain that runs this program.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_own_package(&mut cargo);
    cargo
}

/// Takes away what cargo has told this program about its own package. Build scripts look at that (ring's does), and
/// everything that depends on them would be built once more for whoever calls cargo without this program, and back again.
pub(crate) fn forget_own_package(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// Where a program is: in `PATH`, or where Debian puts servers, which a user's `PATH` may lack.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn line_of(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
