//! Builds and tests again whenever a file of a project has changed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::build::build;
use crate::failure::Failure;
use crate::suite::{Selection, test};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What toolchains write, and nobody edits.
const MADE: [&str; 6] = ["build", "target", "node_modules", "__pycache__", ".venv", ".git"];

/// Builds and tests the project in a folder, now and whenever a file of it has changed, until the process ends. What
/// goes wrong is written to `out`, and waits for the next change. `passed` is called with the component after each
/// round in which all cases came out as expected.
///
/// # Errors
/// The folder cannot be read, or `out` not be written.
pub fn watch(
    folder: &Path,
    out: &mut dyn Write,
    passed: &mut dyn FnMut(&Path),
) -> Result<(), Failure> {
    loop {
        let seen = stamps(folder)?;
        let said = |error| Failure::File { verb: "write", path: "the report".into(), error };
        match round(folder, out) {
            Ok(Some(component)) => passed(&component),
            Ok(None) => {}
            Err(failure) => writeln!(out, "{failure}").map_err(said)?,
        }
        writeln!(out, "waiting for a change in {}", folder.display()).map_err(said)?;
        out.flush().map_err(said)?;
        while stamps(folder)? == seen {
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// The component, if all cases came out as expected.
fn round(folder: &Path, out: &mut dyn Write) -> Result<Option<PathBuf>, Failure> {
    let component = build(folder)?;
    let selection = Selection { fixtures: vec![folder.join("fixtures")], filter: None };
    let summary = test(&component, &selection, out)?;
    writeln!(out, "{summary}").map_err(Failure::file("write", Path::new("the report")))?;
    Ok((summary.failed == 0).then_some(component))
}

/// When each file was last written. A file that goes while it is looked at is one that has changed.
fn stamps(folder: &Path) -> Result<BTreeMap<PathBuf, SystemTime>, Failure> {
    let mut stamps = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Failure::file("read", &folder))? {
            let path = entry.map_err(Failure::file("read", &folder))?.path();
            let name = path.file_name().unwrap_or_default();
            if MADE.iter().any(|made| name == *made) {
                continue;
            }
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => folders.push(path),
                Ok(found) => {
                    stamps.insert(path, found.modified().unwrap_or(SystemTime::UNIX_EPOCH));
                }
                Err(_) => {}
            }
        }
    }
    Ok(stamps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_edited_counts_and_what_is_made_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("src/lib.rs", "one");
        let before = stamps(folder.path()).unwrap();
        assert_eq!(before.len(), 1);
        write("build/x.wasm", "made");
        assert_eq!(stamps(folder.path()).unwrap(), before);
        write("fixtures/a.toml", "");
        let with = stamps(folder.path()).unwrap();
        assert_ne!(with, before);
        fs::remove_file(folder.path().join("fixtures/a.toml")).unwrap();
        assert_eq!(stamps(folder.path()).unwrap(), before);
    }
}
