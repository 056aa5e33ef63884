//! The world of the example and the contract, in one folder as tools for WIT want them.

use std::fs;
use std::path::PathBuf;

use super::{FOLDER, SOURCES, write};
use crate::failure::Failure;
use crate::root::Root;

/// Each file, and where it is to be.
const FILES: [(&str, &str); 2] = [
    ("wit/gateway.wit", "deps/portcullis-gateway/gateway.wit"),
    ("wit/deps/portcullis-host/host.wit", "deps/portcullis-host/host.wit"),
];

/// Puts the files together; gives the folder.
pub(super) fn assemble(root: &Root) -> Result<PathBuf, Failure> {
    let folder = root.target(FOLDER).join("wit");
    let world = (format!("{SOURCES}/wit/world.wit"), "world.wit");
    for (from, to) in FILES.map(|(from, to)| (from.to_owned(), to)).into_iter().chain([world]) {
        let (from, to) = (root.join(&from), folder.join(to));
        let text = fs::read(&from).map_err(Failure::file("read", &from))?;
        // Another language's tools may be reading it.
        if fs::read(&to).is_ok_and(|known| known == text) {
            continue;
        }
        write(&to, text)?;
    }
    Ok(folder)
}
