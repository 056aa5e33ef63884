//! Other people's clients: Mosquitto's programs, and Python with paho.

use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::log::Log;
use crate::program::program;
use crate::site::{DEMO, Site};

/// Where the Python with the packages of the tests is, if not in `target/venv`.
const PYTHON: &str = "PORTCULLIS_PYTHON";

/// `mosquitto_pub` as [`DEMO`] over TLS, with these further arguments.
pub fn mosquitto_pub(site: &Site, arguments: &[&str]) -> Output {
    Tool::start(mosquitto("mosquitto_pub", site).args(arguments)).finish()
}

/// `mosquitto_sub` as [`DEMO`] over TLS, with these further arguments, in the background.
pub fn mosquitto_sub(site: &Site, arguments: &[&str]) -> Tool {
    Tool::start(mosquitto("mosquitto_sub", site).args(arguments))
}

fn mosquitto(program: &str, site: &Site) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "localhost", "-p", &site.tls.to_string(), "-u", DEMO]);
    command.args(["-P", &site.password]).arg("--cafile").arg(site.ca());
    command
}

/// Runs a script of `tests/paho` with these arguments; it must end well. Gives what it printed.
pub fn paho(script: &str, arguments: &[&str]) -> String {
    let python =
        env::var_os(PYTHON).map_or_else(|| program().target.join("venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "{} is missing, a Python with paho-mqtt; `cargo xtask test` installs it",
        python.display()
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("paho").join(script);
    let mut command = Command::new(python);
    // Nothing is to appear in the source tree.
    command.arg(script).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
    let out = Tool::start(&mut command).finish();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    said
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
