//! Client libraries of others for the interoperability tests, each in a place of its own below the target folder.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::command::{cargo, run};
use crate::failure::Failure;
use crate::root::Root;
use crate::{npm, packages, venv};

const PURPOSE: &str = "interoperability tests";

/// Python packages.
const PYTHON: [&str; 2] = ["aioquic==1.7.2", "paho-mqtt==2.1.0"];

/// Where the Node modules are named, with their versions: those of mqtt.js, and the QUIC of Cloudflare, ready to run.
const NODE: &str = "tests/drivers/mqttjs";
const QUICHE: &str = "tests/drivers/quiche";

/// The driver of the crate `mqtt5`, which is a workspace of its own.
pub(crate) const MQTT5: &str = "tests/drivers/mqtt5";

/// Installs what is missing; gives the environment by which the tests find it.
pub(crate) fn ensure(root: &Root) -> Result<Vec<(&'static str, OsString)>, Failure> {
    packages::ensure(&venv::PACKAGES, PURPOSE)?;
    packages::ensure(&npm::PACKAGES, PURPOSE)?;
    let python = venv::programs(root, &PYTHON, "venv", PURPOSE)?.join("python");
    Ok(vec![
        ("PORTCULLIS_PYTHON", python.into()),
        ("PORTCULLIS_NODE_MODULES", npm::modules(root, NODE, "mqttjs")?.into()),
        ("PORTCULLIS_QUICHE_MODULES", npm::modules(root, QUICHE, "quiche")?.into()),
        ("PORTCULLIS_MQTT5_DRIVER", mqtt5_driver(root)?.into()),
    ])
}

/// The driver of the crate `mqtt5`.
fn mqtt5_driver(root: &Root) -> Result<PathBuf, Failure> {
    let target = root.target("mqtt5");
    let mut build = cargo();
    build.current_dir(root.join(MQTT5)).args(["build", "--locked", "--target-dir"]).arg(&target);
    run(&mut build)?;
    Ok(target.join("debug/mqtt5-driver"))
}
