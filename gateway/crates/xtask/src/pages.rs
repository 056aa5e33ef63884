//! Man pages and completions of shells, out of what the program itself says of its command line.

mod manual;
mod shells;
mod usage;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::output;
use crate::failure::Failure;

pub(crate) use usage::Usage;

/// What tells of the command line.
const HELP: [&[&str]; 4] =
    [&["help"], &["extension", "help"], &["cert", "help"], &["store", "help"]];

/// Asks a gateway for all its help.
pub(crate) fn ask(portcullis: &Path) -> Result<Usage, Failure> {
    let texts = HELP.iter().map(|words| output(Command::new(portcullis).args(*words)));
    Ok(Usage::read(&texts.collect::<Result<Vec<_>, _>>()?))
}

/// Writes the pages below `stage`, where Debian has them.
pub(crate) fn write(usage: &Usage, version: &str, date: &str, stage: &Path) -> Result<(), Failure> {
    for (path, text) in [
        ("usr/share/man/man1/portcullis.1", manual::page(usage, version, date)),
        ("usr/share/bash-completion/completions/portcullis", shells::bash(usage)),
        ("usr/share/zsh/vendor-completions/_portcullis", shells::zsh(usage)),
        ("usr/share/fish/vendor_completions.d/portcullis.fish", shells::fish(usage)),
    ] {
        let path = stage.join(path);
        let folder = path.parent().unwrap_or(stage);
        fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
        fs::write(&path, text).map_err(Failure::file("write", &path))?;
    }
    Ok(())
}
