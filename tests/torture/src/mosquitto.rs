use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mqtt::QoS;
use portcullis_tests::{PATIENCE, free_port, program};
use tempfile::TempDir;

use crate::broker::Broker;

/// Debian's Mosquitto as the edge, with a bridge of its own.
pub(crate) struct Mosquitto {
    folder: TempDir,
    pub(crate) port: u16,
    running: Option<Child>,
}

impl Mosquitto {
    /// With a bridge to a plain port of loopback. It is asked to keep as much as it can: it saves after each change, forgets
    /// nothing by limits, and keeps its session with upstream.
    pub(crate) fn with_bridge_to(upstream: u16, qos: QoS) -> Self {
        let parent = program().target.join("tmp");
        fs::create_dir_all(&parent).expect("a folder for brokers");
        let folder = tempfile::Builder::new().prefix("mosquitto-").tempdir_in(parent);
        let folder = folder.expect("a folder");
        let port = free_port();
        let (place, qos) = (folder.path().display(), qos.as_u8());
        // It gives root's rights up otherwise, and could not write where root's tests have their folder.
        let text = format!(
            "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\n\
             persistence true\npersistence_location {place}/\nautosave_on_changes true\nautosave_interval 1\n\
             max_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 100\n\
             connection torture\naddress 127.0.0.1:{upstream}\ntopic torture/# out {qos}\nbridge_protocol_version mqttv50\n\
             cleansession false\nnotifications false\nkeepalive_interval 5\nrestart_timeout 1\n"
        );
        fs::write(folder.path().join("mosquitto.conf"), text)
            .expect("the configuration is written");
        Self { folder, port, running: None }
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("mosquitto.conf")
    }

    fn end(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Broker for Mosquitto {
    fn kill(&mut self) {
        let child = self.running.as_mut().expect("it runs");
        let ended = child.try_wait().expect("it is our child");
        assert!(ended.is_none(), "mosquitto ended by itself: {ended:?}");
        self.end();
    }

    fn start(&mut self) {
        let mut command = Command::new("mosquitto");
        // Debian has it where only root looks.
        command.env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/bin");
        command.arg("-c").arg(self.configuration());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().expect("mosquitto is installed; `cargo xtask torture` does that");
        self.running = Some(child);
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(Instant::now() < until, "mosquitto does not listen");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.end();
    }
}
