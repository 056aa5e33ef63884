//! Node modules, each project's in a place of its own below the target folder.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::command::run;
use crate::failure::Failure;
use crate::packages::Package;
use crate::root::Root;

/// What it takes of the system.
pub(crate) const PACKAGES: [Package; 2] =
    [Package { name: "nodejs", brings: "node" }, Package { name: "npm", brings: "npm" }];

/// Installs exactly what the lock file in `source` says into `folder` below the target folder, if it is not there; gives
/// the path of `node_modules`.
pub(crate) fn modules(root: &Root, source: &str, folder: &str) -> Result<PathBuf, Failure> {
    let folder = root.target(folder);
    let modules = folder.join("node_modules");
    let stamp = folder.join("packages.stamp");
    let read = |name: &str| {
        let path = root.join(source).join(name);
        fs::read_to_string(&path).map_err(Failure::file("read", &path))
    };
    let (manifest, lock) = (read("package.json")?, read("package-lock.json")?);
    if modules.is_dir() && fs::read_to_string(&stamp).is_ok_and(|have| have == lock) {
        return Ok(modules);
    }
    eprintln!("installing into {}: what {source}/package-lock.json names", folder.display());
    fs::create_dir_all(&folder).map_err(Failure::file("create", &folder))?;
    for (name, text) in [("package.json", &manifest), ("package-lock.json", &lock)] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(Failure::file("write", &path))?;
    }
    // No script of any package is run.
    let options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    run(Command::new("npm").current_dir(&folder).arg("ci").args(options))?;
    fs::write(&stamp, lock).map_err(Failure::file("write", &stamp))?;
    Ok(modules)
}
