use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_tests::{Client, Options, PATIENCE, Site, free_port};

/// Debian's Mosquitto as upstream: TLS with client certificates of the site's authority, and a plain port for whoever looks on.
/// It is killed when this value goes.
pub(crate) struct Mosquitto {
    child: Child,
    pub(crate) tls: u16,
    pub(crate) plain: u16,
}

impl Mosquitto {
    /// `more` are lines of its configuration for the TLS listener.
    pub(crate) fn start(site: &Site, more: &str) -> Self {
        Self::start_at(site, [free_port(), free_port()], "", more)
    }

    /// At these ports, for TLS and without; `general` are lines of its configuration before the listeners.
    pub(crate) fn start_at(site: &Site, [tls, plain]: [u16; 2], general: &str, more: &str) -> Self {
        let pki = |name: &str| site.path(format!("pki/{name}")).display().to_string();
        let text = format!(
            "user root\nper_listener_settings true\n{general}\nlistener {plain} 127.0.0.1\nallow_anonymous true\n\
             listener {tls} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n\
             use_identity_as_username true\nallow_anonymous false\n{more}\n",
            pki("ca.pem"),
            pki("server.pem"),
            pki("server.key"),
        );
        // It gives root's rights up otherwise, and could not read the keys of a site that is root's.
        let file = site.path("mosquitto.conf");
        fs::write(&file, text).expect("the configuration is written");
        let mut command = Command::new("mosquitto");
        // Debian has it where only root looks.
        command.env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/bin").arg("-c").arg(&file);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("mosquitto is installed; `cargo xtask test` does that");
        let mosquitto = Self { child, tls, plain };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, tls)).is_err() {
            assert!(Instant::now() < until, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        mosquitto
    }

    /// A client of it that looks on.
    pub(crate) fn client(&self, site: &Site, name: &str) -> Client {
        self.options(site, name).connect()
    }

    /// As whom one looks on.
    pub(crate) fn options(&self, site: &Site, name: &str) -> Options {
        Options::new(name, site).anonymous().plain_at(self.plain)
    }

    /// `kill -9`.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
