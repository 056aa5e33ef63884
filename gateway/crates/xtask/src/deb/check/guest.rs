use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;

use super::{exec_start, overlay};

const HERE: &str = "/tmp/portcullis-deb-check";
const UNIT: &str = "lib/systemd/system/portcullis.service";

/// Where programs are.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The file system in which packages are tried.
pub(super) struct Guest {
    root: PathBuf,
}

/// A gateway in it, started as its unit says.
pub(super) struct Gateway {
    child: Child,
    /// Extensions that it compiled at its start.
    pub(super) compiled: usize,
}

impl Guest {
    pub(super) fn over_this_machine() -> Result<Self, Failure> {
        Ok(Self { root: overlay(HERE.as_ref())? })
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    pub(super) fn read(&self, path: &str) -> Result<String, Failure> {
        let path = self.root.join(path);
        fs::read_to_string(&path).map_err(Failure::file("read", &path))
    }

    /// Files in a folder that end so.
    pub(super) fn count(&self, folder: &str, end: &str) -> Result<usize, Failure> {
        let path = self.root.join(folder);
        let entries = fs::read_dir(&path).map_err(Failure::file("read", &path))?;
        let fits = |name: std::ffi::OsString| name.to_string_lossy().ends_with(end);
        Ok(entries.flatten().filter(|entry| fits(entry.file_name())).count())
    }

    pub(super) fn expect(&self, holds: bool, what: &str) -> Result<(), Failure> {
        println!("{} {what}", if holds { "ok:" } else { "WRONG:" });
        if holds { Ok(()) } else { Err(Failure::Other(format!("the package fails: {what}"))) }
    }

    /// Runs a program in it as root, which must succeed; what it says.
    pub(super) fn must(&self, words: &[&str]) -> Result<String, Failure> {
        let output = self.output(Command::new("chroot").arg(&self.root).args(words))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            print!("{said}");
            return Ok(said);
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Err(Failure::Other(format!(
            "`{}` failed, {}:\n{said}{why}",
            words.join(" "),
            output.status
        )))
    }

    fn output(&self, command: &mut Command) -> Result<Output, Failure> {
        let line = format!("{command:?}");
        let variables = [("DEBIAN_FRONTEND", "noninteractive"), ("LC_ALL", "C"), ("HOME", "/root")];
        command.env_clear().envs(variables).env("PATH", PATH).stdin(Stdio::null());
        command.output().map_err(|error| Failure::Start { command: line, error })
    }

    /// Starts what the unit starts, as its user and with its directories, and waits until it listens.
    pub(super) fn start(&self) -> Result<Gateway, Failure> {
        self.must(&[
            "install",
            "-d",
            "-m",
            "0750",
            "-o",
            "portcullis",
            "-g",
            "portcullis",
            "/run/portcullis",
        ])?;
        let unit = self.read(UNIT)?;
        let words =
            exec_start(&unit).ok_or_else(|| Failure::Other(format!("{UNIT} starts nothing")))?;
        let log = self.root.join("run/gateway.log");
        let written = File::create(&log).map_err(Failure::file("write", &log))?;
        let mut command = Command::new("chroot");
        command.arg("--userspec=portcullis:portcullis").arg(&self.root).args(&words);
        let child =
            command.env_clear().env("PATH", PATH).stdin(Stdio::null()).stderr(written).spawn();
        let mut child =
            child.map_err(|error| Failure::Start { command: words.join(" "), error })?;
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.read("run/gateway.log")?;
            if said.contains("listening") {
                let compiled = said.matches("compiled in a process of its own").count()
                    + said.matches("compiled here").count();
                return Ok(Gateway { child, compiled });
            }
            let ended = child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > until {
                return Err(Failure::Other(format!(
                    "the gateway does not listen ({ended:?}):\n{said}"
                )));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn client(&self, program: &str, password: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(&self.root).arg(program).args(["-h", "localhost", "-p", "8883", "-q", "1"]);
        command.args(["--cafile", "/etc/portcullis/pki/ca.pem", "-u", "ann", "-P", password]);
        command
    }

    /// Makes the session of somebody who then is away.
    pub(super) fn subscribe(&self, password: &str) -> Result<(), Failure> {
        let mut command = self.client("mosquitto_sub", password);
        let output = self.output(command.args(["-c", "-i", "keeper", "-t", "ann/#", "-E"]))?;
        self.expect(output.status.success(), "somebody subscribes and leaves")
    }

    /// Publishes numbers from 1 on, each acknowledged.
    pub(super) fn publish(&self, password: &str, count: u32) -> Result<(), Failure> {
        let mut command = self.client("mosquitto_pub", password);
        let child = command.args(["-t", "ann/x", "-l"]).stdin(Stdio::piped()).spawn();
        let start = |error| Failure::Start { command: "mosquitto_pub".to_owned(), error };
        let mut child = child.map_err(start)?;
        if let Some(mut input) = child.stdin.take() {
            let lines: String = (1..=count).map(|number| format!("{number}\n")).collect();
            input.write_all(lines.as_bytes()).map_err(start)?;
        }
        let status = child.wait().map_err(start)?;
        self.expect(status.success(), &format!("{count} messages are acknowledged"))
    }

    /// Fetches what waits; how many of the numbers are there in order.
    pub(super) fn receive(&self, password: &str, count: u32) -> Result<u32, Failure> {
        let mut command = self.client("mosquitto_sub", password);
        let all = count.to_string();
        command.args(["-c", "-i", "keeper", "-t", "ann/#", "-C", &all, "-W", "60"]);
        let said = self.output(&mut command)?.stdout;
        let said = String::from_utf8_lossy(&said);
        let in_order = |(line, number): &(&str, u32)| line.parse() == Ok(*number);
        Ok(u32::try_from(said.lines().zip(1..).take_while(in_order).count()).unwrap_or_default())
    }
}

impl Gateway {
    /// Stops it as the unit does.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        let number = self.child.id().to_string();
        let start = |error| Failure::Start { command: "kill".to_owned(), error };
        Command::new("kill").arg(number).status().map_err(start)?;
        let status = self.child.wait().map_err(start)?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::Other(format!("the gateway stopped with {status}")))
    }
}
