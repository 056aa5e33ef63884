use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_tests::{Gateway, Options, Site, free_port, program};

use crate::bad_disk::BadDisk;
use crate::guest::{Fallback, Guest};

/// A gateway that lets everybody in to do anything, on one plain port of loopback.
#[derive(Debug)]
pub struct Stage {
    site: Site,
    pub(crate) port: u16,
}

/// More lines for the table `[store]` of the gateway under test.
const STORE: &str = "PORTCULLIS_DURABILITY_STORE";

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with_store(&env::var(STORE).unwrap_or_default())
    }

    /// With these lines in its table `[store]`.
    pub fn with_store(lines: &str) -> Self {
        let site = Site::as_made();
        let port = free_port();
        let guest = Guest::authenticator("").accepting(&[], Fallback::Allow);
        let component = guest.granting(&[], Fallback::Allow).build();
        fs::write(site.path("everybody.wasm"), component).expect("the component is written");
        let stage = Self { site, port };
        fs::create_dir_all(stage.store()).expect("a folder for the store");
        fs::write(stage.site.config(), stage.configuration(lines)).expect("a configuration");
        stage
    }

    /// The store's folder, without symbolic links.
    pub fn store(&self) -> PathBuf {
        let data = self.site.path("data/store");
        data.canonicalize().unwrap_or(data)
    }

    /// A file beside the gateway's own.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.site.path(relative)
    }

    /// Starts the gateway and waits until it listens.
    pub fn start(&self) -> Gateway<'_> {
        Gateway::start_with(&self.site, 1)
    }

    /// As [`Stage::start`], with the store on a bad disk.
    pub fn start_on(&self, disk: &BadDisk) -> Gateway<'_> {
        Gateway::start_in(&self.site, 1, &disk.environment())
    }

    /// As [`Stage::start_on`], and does not wait.
    pub fn launch_on(&self, disk: &BadDisk) -> Gateway<'_> {
        Gateway::launch_in(&self.site, &disk.environment())
    }

    /// Options of a client of MQTT 5 with a session that ends with its connection.
    pub fn options(&self, client_id: &str) -> Options {
        Options::new(client_id, &self.site).plain_at(self.port)
    }

    /// Starts the gateway with all that it does below the store's folder recorded at the end of `trace`.
    pub(crate) fn start_traced(&self, shim: &Path, trace: &Path) -> Gateway<'_> {
        let store = self.store();
        let environment: [(&str, &OsStr); 3] = [
            ("LD_PRELOAD", shim.as_os_str()),
            ("PORTCULLIS_TRACE_DIR", store.as_os_str()),
            ("PORTCULLIS_TRACE_FILE", trace.as_os_str()),
        ];
        Gateway::start_in(&self.site, 1, &environment)
    }

    /// Room for all that a long run queues for subscribers that are away.
    fn configuration(&self, store: &str) -> String {
        format!(
            r#"data = "data"
[log]
format = "json"
[listeners.everybody]
bind = "127.0.0.1:{}"
transport = "tcp"
chain = ["everybody"]
[extensions.everybody]
component = "everybody.wasm"
[sessions]
max-queued-messages = 10000000
max-queued-bytes = "2 GiB"
[broker]
max-queued-bytes-total = "2 GiB"
sys-interval = "0s"
[store]
path = {:?}
{store}
"#,
            self.port,
            self.store(),
        )
    }
}

/// Compiles the shim that records what a gateway writes, `trace`, or that refuses it, `fault`.
pub(crate) fn shim(name: &str, into: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim").join(format!("{name}.c"));
    let shim = into.join(format!("{name}.so"));
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(compiler)
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .arg(&shim)
        .arg(&source)
        .arg("-ldl")
        .status()
        .expect("there is a C compiler");
    assert!(status.success(), "{} does not compile", source.display());
    shim
}

/// A folder in memory if the machine has one, for what is written and read once.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_path_buf() } else { program().target.join("tmp") };
    fs::create_dir_all(&parent).expect("a folder for stores");
    tempfile::Builder::new().prefix("power-cut-").tempdir_in(parent).expect("a folder")
}
