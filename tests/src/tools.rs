//! Other people's clients: Mosquitto's programs, and libraries by their drivers.

use std::env;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::driver::Driver;
use crate::log::Log;
use crate::program::program;
use crate::site::{DEMO, Site};

/// Where the Python with the packages of the tests, the NATS server, the Node modules (mqtt.js, quiche) and the drivers of
/// `flowsdk` and `mqtt5` are, if not below the target folder.
const PYTHON: &str = "PORTCULLIS_PYTHON";
const NATS: &str = "PORTCULLIS_NATS_SERVER";
const MODULES: &str = "PORTCULLIS_NODE_MODULES";
const QUICHE: &str = "PORTCULLIS_QUICHE_MODULES";
const FLOWSDK: &str = "PORTCULLIS_FLOWSDK_DRIVER";
const MQTT5: &str = "PORTCULLIS_MQTT5_DRIVER";

/// `mosquitto_pub` as [`DEMO`] over TLS, with these further arguments.
pub fn mosquitto_pub(site: &Site, arguments: &[&str]) -> Output {
    Tool::start(mosquitto("mosquitto_pub", site).args(arguments)).finish()
}

/// `mosquitto_sub` as [`DEMO`] over TLS, with these further arguments, in the background.
pub fn mosquitto_sub(site: &Site, arguments: &[&str]) -> Tool {
    Tool::start(mosquitto("mosquitto_sub", site).args(arguments))
}

/// `mosquitto_rr` as [`DEMO`] over TLS, with these further arguments, in the background.
pub fn mosquitto_rr(site: &Site, arguments: &[&str]) -> Tool {
    Tool::start(mosquitto("mosquitto_rr", site).args(arguments))
}

fn mosquitto(program: &str, site: &Site) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "localhost", "-p", &site.tls.to_string(), "-u", DEMO]);
    command.args(["-P", &site.password]).arg("--cafile").arg(site.ca());
    command
}

/// A scripted peer of aioquic, for Python; see `tests/drivers/aioquic/peer.py`.
pub fn aioquic(arguments: &[&OsStr]) -> Output {
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers");
    let mut command = Command::new(installed(PYTHON, "venv/bin/python"));
    command.arg(drivers.join("aioquic/peer.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    Tool::start(command.args(arguments)).finish()
}

/// A scripted peer of Cloudflare's quiche, for Node.js; see `tests/drivers/quiche/peer.js`.
pub fn quiche(arguments: &[&OsStr]) -> Output {
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers");
    let mut command = Command::new("node");
    command.arg(drivers.join("quiche/peer.js"));
    command.env("NODE_PATH", installed(QUICHE, "quiche/node_modules"));
    Tool::start(command.args(arguments)).finish()
}

/// A client of the Rust crate `flowsdk`, by which EMQ speaks MQTT over QUIC; see `tests/drivers/flowsdk`.
pub fn flowsdk(arguments: &[&OsStr]) -> Output {
    let mut command = Command::new(installed(FLOWSDK, "flowsdk/debug/flowsdk-driver"));
    Tool::start(command.args(arguments)).finish()
}

/// The program of a NATS server.
pub(crate) fn nats_server() -> PathBuf {
    installed(NATS, "venv/bin/nats-server")
}

/// A consumer of NATS' own clients, for Python; see `tests/drivers/nats/consumer.py`.
pub fn nats_consumer(arguments: &[&OsStr]) -> Tool {
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers");
    let mut command = Command::new(installed(PYTHON, "venv/bin/python"));
    command.arg(drivers.join("nats/consumer.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    Tool::start(command.args(arguments))
}

/// A client library that has a driver in `tests/drivers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// Eclipse paho for Python.
    Paho,
    /// mqtt.js for Node.js.
    MqttJs,
    /// The client of the Rust crate `mqtt5`.
    Mqtt5,
}

impl Library {
    /// As cases call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paho => "paho",
            Self::MqttJs => "mqttjs",
            Self::Mqtt5 => "mqtt5",
        }
    }

    /// Starts its driver.
    pub fn start(self) -> Driver {
        let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers");
        let mut command;
        match self {
            Self::Paho => {
                command = Command::new(installed(PYTHON, "venv/bin/python"));
                // Nothing is to appear in the source tree.
                command.arg(drivers.join("paho/driver.py")).env("PYTHONDONTWRITEBYTECODE", "1");
            }
            Self::MqttJs => {
                command = Command::new("node");
                command.arg(drivers.join("mqttjs/driver.js"));
                command.env("NODE_PATH", node_modules());
            }
            Self::Mqtt5 => command = Command::new(installed(MQTT5, "mqtt5/debug/mqtt5-driver")),
        }
        Driver::start(command)
    }
}

/// The Node modules of the tests.
pub fn node_modules() -> PathBuf {
    installed(MODULES, "mqttjs/node_modules")
}

/// What the variable says, or what is there below the target folder.
fn installed(variable: &str, usual: &str) -> PathBuf {
    let path = env::var_os(variable).map_or_else(|| program().target.join(usual), PathBuf::from);
    assert!(path.exists(), "{} is missing; `cargo xtask test` installs it", path.display());
    path
}

/// A program that runs. It is killed when this value goes.
#[derive(Debug)]
pub struct Tool(Child, Log);

impl Tool {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{name} does not start ({error}); `cargo xtask test` installs what is needed"
                )
            });
        Self(child, Log::default())
    }

    /// Waits for its end; gives what it printed.
    pub fn finish(mut self) -> Output {
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let read = |pipe: Option<Box<dyn Read + Send>>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
                bytes
            })
        };
        let stdout = read(stdout.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
        let stderr = read(stderr.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
        let until = Instant::now() + 2 * PATIENCE;
        let status = loop {
            match self.0.try_wait().expect("it is our child") {
                Some(status) => break status,
                None if Instant::now() > until => {
                    let _ = self.0.kill();
                    let said = stderr.join().unwrap_or_default();
                    panic!("a client does not end: {}", String::from_utf8_lossy(&said));
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let [stdout, stderr] = [stdout, stderr].map(|it| it.join().unwrap_or_default());
        Output { status, stdout, stderr }
    }

    /// Waits until it has printed a line with these words.
    pub fn prints(&mut self, words: &str, patience: Duration) -> bool {
        if let Some(pipe) = self.0.stdout.take() {
            self.1 = Log::read(pipe);
        }
        self.1.wait_for_lines(words, 1, patience)
    }

    /// What it has printed since it was first waited for.
    pub fn said(&self) -> String {
        self.1.text()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.0.kill().expect("it is our child");
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
