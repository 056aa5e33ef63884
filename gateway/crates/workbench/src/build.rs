//! From an author's folder to a component, with the toolchain of its language.

mod c;
mod go;
mod javascript;
mod module;
mod program;
mod python;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};

use config::{Language, Project};

use crate::failure::Failure;

/// Builds the extension in a folder with `extension.toml`; gives the component, `build/NAME.wasm` in that folder. What
/// the toolchain says goes where this process's output goes.
///
/// # Errors
/// The folder holds no extension, the toolchain is not there (the message names what to install), or it fails.
pub fn build(folder: &Path) -> Result<PathBuf, Failure> {
    let project = Project::load(folder).map_err(Failure::Fixture)?;
    let made = folder.join("build");
    fs::create_dir_all(&made).map_err(Failure::file("create", &made))?;
    let component = made.join(format!("{}.wasm", project.name));
    match project.language {
        Language::Rust => rust::build(&project, &made, &component)?,
        Language::Go => go::build(&project, &made, &component)?,
        Language::C => c::build(&project, &made, &component)?,
        Language::JavaScript => javascript::build(&project, &component)?,
        Language::Python => python::build(&project, &component)?,
    }
    Ok(component)
}

/// The world that a project in another language than Rust is built for, in its folder `wit`.
const WORLD: &str = "extension";
