//! Python packages, apart from the system's, each set in a place of its own below the target folder.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::command::{output, run};
use crate::failure::Failure;
use crate::packages::{self, Package};
use crate::root::Root;

/// What it takes of the system.
pub(crate) const PACKAGES: [Package; 1] = [Package { name: "python3", brings: "python3" }];

/// Debian's python3 comes without the part that gives a new environment its pip.
const PIP: [Package; 1] = [Package { name: "python3-venv", brings: "/usr/share/doc/python3-venv" }];

/// Installs `requirements` (as pip reads them, each with its version) into the environment `folder` below the target
/// folder, if they are not there; gives the folder of its programs.
pub(crate) fn programs(
    root: &Root,
    requirements: &[&str],
    folder: &str,
    purpose: &str,
) -> Result<PathBuf, Failure> {
    let folder = root.target(folder);
    let programs = folder.join("bin");
    let stamp = folder.join("packages.stamp");
    let wanted = requirements.join("\n");
    if programs.is_dir() && fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(programs);
    }
    if output(Command::new("python3").args(["-c", "import ensurepip"])).is_err() {
        packages::ensure(&PIP, purpose)?;
    }
    eprintln!("installing into {}: {}", folder.display(), requirements.join(" "));
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let pip = ["-m", "pip", "install", "--quiet"];
    run(Command::new(programs.join("python")).args(pip).args(requirements))?;
    fs::write(&stamp, wanted).map_err(Failure::file("write", &stamp))?;
    Ok(programs)
}
