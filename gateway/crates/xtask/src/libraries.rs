//! Client libraries of others for the interoperability tests, each in a place of its own below the target folder.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::command::{cargo, output, run};
use crate::failure::Failure;
use crate::packages::{self, Package};
use crate::root::Root;

/// What they need of the system.
const PACKAGES: [Package; 3] = [
    Package { name: "python3", brings: "python3" },
    Package { name: "nodejs", brings: "node" },
    Package { name: "npm", brings: "npm" },
];

/// Python packages.
const PYTHON: [&str; 1] = ["paho-mqtt==2.1.0"];

/// Where the Node modules are named, with their versions.
const NODE: &str = "tests/drivers/mqttjs";

/// The driver of the crate `mqtt5`, which is a workspace of its own.
pub(crate) const MQTT5: &str = "tests/drivers/mqtt5";

/// Installs what is missing; gives the environment by which the tests find it.
pub(crate) fn ensure(root: &Root) -> Result<Vec<(&'static str, OsString)>, Failure> {
    packages::ensure(&PACKAGES, "interoperability tests")?;
    Ok(vec![
        ("PORTCULLIS_PYTHON", python(root)?.into()),
        ("PORTCULLIS_NODE_MODULES", node_modules(root)?.into()),
        ("PORTCULLIS_MQTT5_DRIVER", mqtt5_driver(root)?.into()),
    ])
}

/// A Python with the packages of the tests, apart from the system's.
fn python(root: &Root) -> Result<PathBuf, Failure> {
    let folder = root.target("venv");
    let python = folder.join("bin/python");
    let stamp = folder.join("packages.stamp");
    let wanted = PYTHON.join("\n");
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    // Debian's python3 comes without the part that gives a new environment its pip.
    if output(Command::new("python3").args(["-c", "import ensurepip"])).is_err() {
        packages::ensure(
            &[Package { name: "python3-venv", brings: "/usr/share/doc/python3-venv" }],
            "interoperability tests",
        )?;
    }
    eprintln!("installing into {}: {}", folder.display(), PYTHON.join(" "));
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PYTHON))?;
    fs::write(&stamp, wanted).map_err(Failure::file("write", &stamp))?;
    Ok(python)
}

/// The Node modules of the tests: exactly those of the lock file.
fn node_modules(root: &Root) -> Result<PathBuf, Failure> {
    let folder = root.target("mqttjs");
    let modules = folder.join("node_modules");
    let stamp = folder.join("packages.stamp");
    let read = |name: &str| {
        let path = root.join(NODE).join(name);
        fs::read_to_string(&path).map_err(Failure::file("read", &path))
    };
    let (manifest, lock) = (read("package.json")?, read("package-lock.json")?);
    if modules.is_dir() && fs::read_to_string(&stamp).is_ok_and(|have| have == lock) {
        return Ok(modules);
    }
    eprintln!("installing into {}: what {NODE}/package-lock.json names", folder.display());
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

/// The driver of the crate `mqtt5`.
fn mqtt5_driver(root: &Root) -> Result<PathBuf, Failure> {
    let target = root.target("mqtt5");
    let mut build = cargo();
    build.current_dir(root.join(MQTT5)).args(["build", "--locked", "--target-dir"]).arg(&target);
    run(&mut build)?;
    Ok(target.join("debug/mqtt5-driver"))
}
