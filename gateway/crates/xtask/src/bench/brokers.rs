//! The brokers of the comparison: each started on free ports of the loopback, stopped when dropped.

use std::fmt;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{find, quietly};
use crate::failure::Failure;
use crate::root::Root;

/// How long a broker may take until it accepts connections.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A user of the gateway that exists in this comparison only: password `bench`, hashed as cheaply as can be, for
/// what is measured is not how publishers come.
pub(super) const USER: &str = "bench";
pub(super) const PASSWORD: &str = "bench";
const HASH: &str =
    "$argon2id$v=19$m=8,t=1,p=1$cG9ydGN1bGxpcy1iZW5jaA$2k/sZT3iqiLlDsPCxbfaFx6Q5VxGJX/onhaf22QUtSA";

/// Rules that are looked at before the one that allows the load.
const RULES_BEFORE: usize = 19;

/// The gateway's name among brokers.
pub(super) const GATEWAY: &str = "portcullis";

/// Mosquitto's.
const MOSQUITTO: &str = "mosquitto";

/// What carries the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Tls,
    Quic,
}

impl Transport {
    pub(super) const ALL: [Self; 3] = [Self::Tcp, Self::Tls, Self::Quic];
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Quic => "quic",
        })
    }
}

/// What Mosquitto keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    Nothing,
    /// All it has in memory, in a file that it writes anew each second: the shortest interval that it knows
    /// besides one snapshot for each change, with which a queue of any length never gets done.
    Snapshots,
}

impl Keeps {
    fn configuration(self, store: &Path) -> String {
        match self {
            Self::Nothing => "persistence false\n".to_owned(),
            Self::Snapshots => format!(
                "persistence true\npersistence_location {}/\nautosave_interval 1\nmax_queued_bytes 0\n",
                store.display()
            ),
        }
    }
}

/// Who says what the load may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Rules that the gateway checks: so many that match nothing, and the one that allows.
    Rules { before: usize },
    /// A guest that is asked about each publish, or has its verdicts remembered for so many milliseconds. About several
    /// publishes it is asked in one call, or `singly`.
    Asked { remember_ms: u32, singly: bool },
}

impl Policy {
    /// The policy of all other benches.
    pub(super) const USUAL: Self = Self::Rules { before: RULES_BEFORE };

    /// The last of the chain.
    const fn extension(self) -> &'static str {
        match self {
            Self::Rules { .. } => "acl",
            Self::Asked { singly: false, .. } => "asked",
            Self::Asked { singly: true, .. } => "asked-singly",
        }
    }

    fn settings(self) -> String {
        match self {
            Self::Rules { .. } => {
                "grants = [\"log\", \"config\"]\n[extensions.acl.files]\nrules = \"bench.rules\"\n"
                    .to_owned()
            }
            Self::Asked { remember_ms, .. } => format!(
                "grants = [\"log\", \"config\"]\n[extensions.{}.config]\nprefix = \"mqload\"\n\
                 remember-ms = \"{remember_ms}\"\n",
                self.extension()
            ),
        }
    }

    fn rules(self) -> String {
        let before = match self {
            Self::Rules { before } => before,
            Self::Asked { .. } => 0,
        };
        let mut rules = format!("group load {USER}\n");
        for number in 1..=before {
            rules.push_str(&format!(
                "allow publish,subscribe group:load site/area-{number}/+/state\n"
            ));
        }
        rules.push_str("allow publish,subscribe group:load mqload/#\n");
        rules
    }
}

/// A running broker.
#[derive(Debug)]
pub(super) struct Broker {
    name: &'static str,
    child: Child,
    ports: Ports,
    authority: PathBuf,
    home: PathBuf,
}

/// What is started, and where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Built<'a> {
    pub(super) root: &'a Root,
    pub(super) program: &'a Path,
    pub(super) components: &'a Path,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    tcp: u16,
    tls: u16,
    /// Of UDP; the gateway only.
    quic: u16,
}

impl Broker {
    /// The gateway, with the shipped extensions in its chain and 20 rules for the user of the load.
    /// It is told how long groups wait, if anything.
    pub(super) fn gateway(
        root: &Root,
        program: &Path,
        components: &Path,
        group_commit_delay: Option<&str>,
    ) -> Result<Self, Failure> {
        let built = Built { root, program, components };
        Self::gateway_with(GATEWAY, built, Policy::USUAL, group_commit_delay)
    }

    /// A gateway with a name and a policy of its own.
    pub(super) fn gateway_with(
        name: &'static str,
        built: Built<'_>,
        policy: Policy,
        group_commit_delay: Option<&str>,
    ) -> Result<Self, Failure> {
        let Built { root, program, components } = built;
        let home = fresh_folder(root, name)?;
        // The first start's private CA and certificate serve both brokers.
        quietly(
            Command::new(program)
                .arg("init")
                .arg("--dir")
                .arg(&home)
                .arg("--extensions")
                .arg(components),
        )?;
        let ports = Ports::free()?;
        let toml = gateway_toml(ports, components, policy, group_commit_delay);
        write(&home.join("gateway.toml"), &toml)?;
        write(&home.join("bench.users"), &format!("{USER}:{HASH}\n"))?;
        write(&home.join("bench.rules"), &policy.rules())?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(home.join("gateway.toml"));
        Self::start(name, command, ports, home.join("pki/ca.pem"), &home)
    }

    /// Mosquitto as Debian ships it, without authentication or rules, with the gateway's certificate.
    pub(super) fn mosquitto(root: &Root, authority: &Path, keeps: Keeps) -> Result<Self, Failure> {
        let home = fresh_folder(root, MOSQUITTO)?;
        let store = store_in(&home);
        fs::create_dir_all(&store).map_err(Failure::file("create", &store))?;
        let ports = Ports::free()?;
        let pki = authority.with_file_name("");
        let configuration = home.join("mosquitto.conf");
        // `user` keeps it from changing to a user who may not read the key.
        write(
            &configuration,
            &format!(
                "user root\nallow_anonymous true\n{persistence}set_tcp_nodelay true\nmax_queued_messages 0\n\
                 max_inflight_messages 0\n\
                 listener {tcp} 127.0.0.1\nlistener {tls} 127.0.0.1\ncertfile {pki}server.pem\nkeyfile {pki}server.key\n",
                persistence = keeps.configuration(&store),
                tcp = ports.tcp,
                tls = ports.tls,
                pki = pki.display(),
            ),
        )?;
        let mut command = Command::new(find("mosquitto").unwrap_or_else(|| "mosquitto".into()));
        command.arg("-c").arg(&configuration);
        Self::start(MOSQUITTO, command, ports, authority.to_path_buf(), &home)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        ports: Ports,
        authority: PathBuf,
        home: &Path,
    ) -> Result<Self, Failure> {
        let log = log_in(home);
        let file = File::create(&log).map_err(Failure::file("create", &log))?;
        let again = file.try_clone().map_err(Failure::file("create", &log))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .spawn()
            .map_err(|error| Failure::Start { command: name.to_owned(), error })?;
        let broker = Self { name, child, ports, authority, home: home.to_path_buf() };
        let begin = Instant::now();
        while ![ports.tcp, ports.tls]
            .iter()
            .all(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok())
        {
            if begin.elapsed() > START_LIMIT {
                return Err(Failure::Other(format!(
                    "{name} does not listen after {} s; see {}",
                    START_LIMIT.as_secs(),
                    log.display()
                )));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(broker)
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it has this transport.
    pub(super) fn speaks(&self, transport: Transport) -> bool {
        transport != Transport::Quic || self.name != MOSQUITTO
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where the load generator connects.
    pub(super) fn url(&self, transport: Transport) -> String {
        let port = match transport {
            Transport::Tcp => self.ports.tcp,
            Transport::Tls => self.ports.tls,
            Transport::Quic => self.ports.quic,
        };
        format!("{transport}://127.0.0.1:{port}")
    }

    /// The folder of what it keeps.
    pub(super) fn store(&self) -> PathBuf {
        store_in(&self.home)
    }

    /// What it has written to its standard output and error.
    pub(super) fn log(&self) -> Result<String, Failure> {
        let log = log_in(&self.home);
        fs::read_to_string(&log).map_err(Failure::file("read", &log))
    }

    /// The certificate of the CA that both brokers' certificate is signed by.
    pub(super) fn authority(&self) -> &Path {
        &self.authority
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Whether it is gone already does not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ports {
    /// Ports that nobody listens on now.
    fn free() -> Result<Self, Failure> {
        let listen = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        };
        let failed =
            |error: std::io::Error| Failure::Other(format!("no free port on 127.0.0.1: {error}"));
        // All are held until all are known, or they could be the same.
        let (first, tcp) = listen().map_err(failed)?;
        let (second, tls) = listen().map_err(failed)?;
        let third = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let quic = third.local_addr().map_err(failed)?.port();
        drop((first, second, third));
        Ok(Self { tcp, tls, quic })
    }
}

/// Where the gateway has its store if nothing is said, and Mosquitto is told to have its own.
fn store_in(home: &Path) -> PathBuf {
    home.join("data/store")
}

fn log_in(home: &Path) -> PathBuf {
    home.join("broker.log")
}

fn fresh_folder(root: &Root, name: &str) -> Result<PathBuf, Failure> {
    let folder = root.target("versus").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::file("remove", &folder))?;
    }
    fs::create_dir_all(&folder).map_err(Failure::file("create", &folder))?;
    Ok(folder)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(Failure::file("write", path))
}

fn gateway_toml(
    ports: Ports,
    components: &Path,
    policy: Policy,
    group_commit_delay: Option<&str>,
) -> String {
    let store = group_commit_delay.map(|it| format!("[store]\ngroup-commit-delay = \"{it}\"\n"));
    format!(
        r#"data = "data"
[log]
format = "json"
{store}[listeners.tcp]
bind = "127.0.0.1:{tcp}"
transport = "tcp"
chain = ["password", "{extension}"]
[listeners.tls]
bind = "127.0.0.1:{tls}"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
chain = ["password", "{extension}"]
[listeners.quic]
bind = "127.0.0.1:{quic}"
transport = "quic"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
chain = ["password", "{extension}"]
[extensions.password]
component = "{components}/password.wasm"
grants = ["log", "config", "credentials"]
[extensions.password.files]
users = "bench.users"
[extensions.{extension}]
component = "{components}/{extension}.wasm"
{settings}"#,
        extension = policy.extension(),
        settings = policy.settings(),
        store = store.unwrap_or_default(),
        tcp = ports.tcp,
        tls = ports.tls,
        quic = ports.quic,
        components = components.display(),
    )
}
