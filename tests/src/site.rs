use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

use crate::program::program;

/// The user of the first start. Its rules allow it everything below `demo/`.
pub const DEMO: &str = "demo";

/// What a gateway needs, in a folder that goes away with this value: certificates, users, rules and a
/// configuration with a TLS and a plain listener on free ports of loopback.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    /// Password of [`DEMO`].
    pub password: String,
    /// What `portcullis init` printed.
    pub said: String,
    /// Port of the listener `tls`.
    pub tls: u16,
    /// Port of the listener `plain`.
    pub plain: u16,
}

impl Site {
    /// What `portcullis init` makes, with a configuration for tests.
    pub fn new() -> Self {
        let site = Self::as_made();
        site.configure("");
        site
    }

    /// What `portcullis init` makes, configuration included.
    pub fn as_made() -> Self {
        // Beside the build, not in /tmp, which may be memory: some suites measure the disk.
        let parent = program().target.join("tmp");
        fs::create_dir_all(&parent).expect("a folder for sites");
        let folder = tempfile::Builder::new().prefix("site-").tempdir_in(parent).expect("a folder");
        let mut site = Self {
            folder,
            password: String::new(),
            said: String::new(),
            tls: free_port(),
            plain: free_port(),
        };
        site.said = site.init();
        let password = site.said.split_once("password ").expect("init shows a password").1;
        site.password = password.split_whitespace().next().unwrap_or_default().to_owned();
        site
    }

    /// Runs `portcullis init` and gives what it printed.
    pub fn init(&self) -> String {
        let out = portcullis()
            .arg("init")
            .arg("--dir")
            .arg(self.path(""))
            .arg("--extensions")
            .arg(&program().extensions)
            .output()
            .expect("the gateway starts");
        assert!(out.status.success(), "init: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("init prints text")
    }

    /// A site where everybody may publish and subscribe, with a QUIC listener besides the usual ones; `more` is further
    /// configuration. The port is that of QUIC.
    pub fn with_quic(more: &str) -> (Self, u16) {
        let (site, port) = (Self::new(), free_port());
        site.rules("allow publish,subscribe * #\n");
        site.configure(&format!(
            "[listeners.quic]\nbind = \"127.0.0.1:{port}\"\ntransport = \"quic\"\n\
             tls.cert = \"pki/server.pem\"\ntls.key = \"pki/server.key\"\nchain = [\"password\", \"acl\"]\n{more}"
        ));
        (site, port)
    }

    /// Writes the configuration for tests, and `more` behind it.
    pub fn configure(&self, more: &str) {
        self.configure_with(&["password", "acl"], more);
    }

    /// As [`Site::configure`], with another chain for both listeners.
    pub fn configure_with(&self, chain: &[&str], more: &str) {
        let Self { tls, plain, .. } = self;
        let text = format!(
            r#"data = "data"
[log]
format = "json"
[listeners.tls]
bind = "127.0.0.1:{tls}"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
chain = {chain:?}
[listeners.plain]
bind = "127.0.0.1:{plain}"
transport = "tcp"
chain = {chain:?}
[extensions.password]
component = "extensions/password.wasm"
grants = ["config", "credentials", "log"]
files.users = "users.txt"
[extensions.acl]
component = "extensions/acl.wasm"
grants = ["config", "log"]
files.rules = "acl.txt"
{more}
"#
        );
        fs::write(self.config(), text).expect("the configuration is written");
    }

    /// Adds a user, or changes the password of one.
    pub fn user(&self, name: &str, password: &str) {
        let mut child = portcullis()
            .args(["user", "add", name, "--password-stdin", "--file"])
            .arg(self.path("users.txt"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the gateway starts");
        let mut input = child.stdin.take().expect("a pipe");
        writeln!(input, "{password}").expect("the password is read");
        drop(input);
        assert!(child.wait().expect("it ends").success(), "user add {name}");
    }

    /// Replaces the rules file.
    pub fn rules(&self, text: &str) {
        fs::write(self.path("acl.txt"), text).expect("the rules are written");
    }

    /// Runs `portcullis check` on the configuration.
    pub fn check(&self) -> Output {
        let mut check = portcullis();
        check.arg("check").arg("--config").arg(self.config());
        check.output().expect("the gateway starts")
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.path("gateway.toml")
    }

    /// The certificate that clients are to trust.
    pub fn ca(&self) -> PathBuf {
        self.path("pki/ca.pem")
    }

    /// A file of the site.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(relative)
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) fn portcullis() -> Command {
    Command::new(&program().portcullis)
}

/// A port of loopback that nobody uses. It is below those that the system gives to clients, so that it
/// stays free while a gateway is killed and started again.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run together begin at different places.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_mul(101).wrapping_add(step)) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port of loopback is free between {FIRST} and {}", FIRST + COUNT);
}
