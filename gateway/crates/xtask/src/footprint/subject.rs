use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::output;
use crate::failure::Failure;
use crate::root::Root;

use super::process::{Resident, Woken};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The user of the first start.
const USER: &str = "demo";

/// A configuration with password and acl, and what starts it.
pub(super) struct Subject {
    program: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
    port: u16,
    password: String,
}

/// A gateway that runs.
pub(super) struct Running<'a> {
    subject: &'a Subject,
    child: Child,
    /// From the start on.
    pub(super) listening: Duration,
    pub(super) first_connack: Duration,
}

impl Subject {
    /// Sets up a gateway; with `copies` more of the extension acl. `compiler` makes the code for one that cannot.
    pub(super) fn prepare(
        root: &Root,
        compiler: Option<&Path>,
        program: &Path,
        components: &Path,
        copies: u32,
    ) -> Result<Self, Failure> {
        let home = root.target("footprint/home");
        if home.exists() {
            fs::remove_dir_all(&home).map_err(Failure::file("remove", &home))?;
        }
        let mut init = Command::new(program);
        let said =
            output(init.arg("init").arg("--dir").arg(&home).arg("--extensions").arg(components))?;
        let password =
            said.split("password ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let password = password.unwrap_or_default().to_owned();
        let port = free_port()?;
        let mut text = format!(
            "data = \"data\"\n[listeners.plain]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"password\", \"acl\"]\n\
             [extensions.password]\ncomponent = \"extensions/password.wasm\"\ngrants = [\"config\", \"credentials\", \"log\"]\n\
             files.users = \"users.txt\"\n[store]\nengine = \"sled\"\n[limits]\nmax-connections-per-address = 100000\n\
             max-connects-per-address = 100000\narrival-rate = 100000\narrival-burst = 100000\n"
        );
        for copy in 0..=copies {
            let name = if copy == 0 { "acl".to_owned() } else { format!("acl-{copy}") };
            // Writing to a text does not fail.
            let _ = write!(
                text,
                "[extensions.{name}]\ncomponent = \"extensions/acl.wasm\"\ngrants = [\"config\", \"log\"]\nfiles.rules = \"acl.txt\"\n"
            );
        }
        if let Some(compiler) = compiler {
            text.push_str(&compile(compiler, &home)?);
        }
        let configuration = home.join("gateway.toml");
        fs::write(&configuration, text).map_err(Failure::file("write", &configuration))?;
        let log = home.join("log");
        Ok(Self { program: program.to_owned(), configuration, log, port, password })
    }

    /// Starts it, and waits until somebody is in.
    pub(super) fn start(&self) -> Result<Running<'_>, Failure> {
        let log = File::create(&self.log).map_err(Failure::file("write", &self.log))?;
        let mut command = Command::new(&self.program);
        command.args(["run", "--config"]).arg(&self.configuration).stdin(Stdio::null()).stderr(log);
        let begun = Instant::now();
        let started = command.spawn();
        let child = started.map_err(|error| Failure::Start {
            command: self.program.display().to_string(),
            error,
        })?;
        let mut running = Running {
            subject: self,
            child,
            listening: Duration::ZERO,
            first_connack: Duration::ZERO,
        };
        while begun.elapsed() < PATIENCE {
            if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                running.listening = begun.elapsed();
                self.greet(stream, "first")?;
                running.first_connack = begun.elapsed();
                return Ok(running);
            }
            thread::sleep(Duration::from_millis(1));
        }
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        Err(Failure::Other(format!("the gateway does not listen:\n{said}")))
    }

    /// CONNECT of MQTT 3.1.1, and CONNACK.
    fn greet(&self, mut stream: TcpStream, client: &str) -> Result<TcpStream, Failure> {
        let mut body = b"\x00\x04MQTT\x04\xc2\x00\x00".to_vec();
        for text in [client, USER, &self.password] {
            body.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
            body.extend(text.as_bytes());
        }
        let packet = [&[0x10, u8::try_from(body.len()).unwrap_or_default()], &body[..]].concat();
        let mut answer = [0; 4];
        let greeted = stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.write_all(&packet))
            .and_then(|()| stream.read_exact(&mut answer));
        match greeted {
            Ok(()) if answer == [0x20, 2, 0, 0] => Ok(stream),
            other => Err(Failure::Other(format!("no way in, {other:?}: {answer:02x?}"))),
        }
    }
}

/// Makes the code of all extensions of a home; the lines that let a gateway use it.
fn compile(compiler: &Path, home: &Path) -> Result<String, Failure> {
    let (key, code) = (home.join("code.key"), home.join("code"));
    output(Command::new(compiler).args(["extension", "keygen", "--out"]).arg(&key))?;
    let mut command = Command::new(compiler);
    command.args(["extension", "compile", "--key"]).arg(&key).arg("--out").arg(&code);
    let said = output(
        command.args(["password", "acl"].map(|name| home.join(format!("extensions/{name}.wasm")))),
    )?;
    let public = said.lines().last().and_then(|line| line.split('"').nth(1)).unwrap_or_default();
    Ok(format!("[compiler]\ncode-dir = \"code\"\ncode-keys = [\"{public}\"]\n"))
}

impl Running<'_> {
    pub(super) fn resident(&self) -> Result<Resident, Failure> {
        let program = &self.subject.program;
        let program = fs::canonicalize(program).map_err(Failure::file("find", program))?;
        Resident::read(self.child.id(), &program)
    }

    pub(super) fn woken(&self, time: Duration) -> Result<Woken, Failure> {
        Woken::watch(self.child.id(), time)
    }

    /// Lets so many clients in, who then say nothing.
    pub(super) fn hold(&self, count: u32) -> Result<Vec<TcpStream>, Failure> {
        let one = |number| {
            let connect = TcpStream::connect((Ipv4Addr::LOCALHOST, self.subject.port));
            let stream =
                connect.map_err(|error| Failure::Other(format!("no connection: {error}")))?;
            self.subject.greet(stream, &format!("idle-{number}"))
        };
        (0..count).map(one).collect()
    }

    pub(super) fn stop(mut self) -> Result<(), Failure> {
        let failed = |error| Failure::Start { command: "kill".to_owned(), error };
        Command::new("kill").arg(self.child.id().to_string()).status().map_err(failed)?;
        self.child.wait().map_err(failed)?;
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Result<u16, Failure> {
    let bound =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound
        .map(|address| address.port())
        .map_err(|error| Failure::Other(format!("no port of loopback is free: {error}")))
}
