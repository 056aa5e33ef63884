//! What is built is made of, as a fingerprint: as long as it stays, so does what was built.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::root::Root;

/// A short text that changes when a file below one of the folders does, or the recipe: how it is made, and with which
/// toolchain. The hash need not be the same for each version of Rust: where it differs, everything is built once more.
pub(crate) fn fingerprint(
    root: &Root,
    folders: &[&str],
    recipe: &[&str],
) -> Result<String, Failure> {
    let mut files = Vec::new();
    for folder in folders {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    for file in files {
        let bytes = fs::read(&file).map_err(Failure::file("read", &file))?;
        (file.strip_prefix(root.path()).unwrap_or(&file), bytes).hash(&mut hasher);
    }
    Ok(format!("{:016x}\n", hasher.finish()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder).map_err(Failure::file("read", folder))? {
        let path = entry.map_err(Failure::file("read", folder))?.path();
        if path.is_file() {
            files.push(path);
        } else if path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
            collect(&path, files)?;
        }
    }
    Ok(())
}
