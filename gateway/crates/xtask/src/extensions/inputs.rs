//! What the extensions are made of, as a fingerprint: as long as it stays, so do they.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::root::Root;

/// The folders whose files decide.
const FOLDERS: [&str; 3] = ["extensions", "tests/guests", "wit"];

/// How the components are made is an input too.
const RECIPE: [&str; 3] = [
    include_str!("../extensions.rs"),
    include_str!("component.rs"),
    include_str!("../wasm_toolchain.rs"),
];

/// A short text that changes when a source, the contract, the recipe or the toolchain does. The hash need
/// not be the same for each version of Rust: where it differs, the extensions are built once more.
pub(crate) fn fingerprint(root: &Root, toolchain: &str) -> Result<String, Failure> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    (RECIPE, toolchain).hash(&mut hasher);
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
        } else if path.file_name().is_some_and(|name| name != "target") {
            collect(&path, files)?;
        }
    }
    Ok(())
}
