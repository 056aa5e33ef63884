use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::server::Server;
use crate::site::{Site, free_port};

/// An Erlang machine starts slowly, and the MQTT plugin waits nine seconds for peers when its directory is new.
const START: Duration = Duration::from_secs(120);

/// Debian's RabbitMQ with its MQTT plugin: TLS with client certificates of a site's authority, whose common names are users.
/// Node, ports and directory are its own, and so is the `epmd` by which Erlang's nodes find each other. All of it is killed when
/// this value goes.
#[derive(Debug)]
pub struct RabbitMq<'a> {
    site: &'a Site,
    /// MQTT over TLS.
    pub tls: u16,
    names: u16,
    distribution: u16,
    server: Option<(Server, Server)>,
}

impl<'a> RabbitMq<'a> {
    /// Starts it, in the folder `rabbitmq` of the site. `users` are names of certificates that are let in.
    pub fn start(site: &'a Site, users: &[&str]) -> Self {
        let (tls, names, distribution) = (free_port(), free_port(), free_port());
        let mut broker = Self { site, tls, names, distribution, server: None };
        fs::create_dir_all(site.path("rabbitmq")).expect("a folder");
        fs::write(broker.file("rabbitmq.conf"), broker.configuration()).expect("it is written");
        fs::write(broker.file("definitions.json"), definitions(users)).expect("it is written");
        let plugins = "[rabbitmq_mqtt, rabbitmq_auth_mechanism_ssl].\n";
        fs::write(broker.file("enabled_plugins"), plugins).expect("they are written");
        broker.restart();
        broker
    }

    /// Starts it again, on what it has on disk.
    pub fn restart(&mut self) {
        self.kill();
        let mut names = Command::new("epmd");
        names.args(["-address", "127.0.0.1", "-port", &self.names.to_string()]);
        let names = Server::start(&mut names);
        // Debian's own command gives up the rights of root, and could not read the keys of a site that is root's.
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        for (name, value) in [
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", self.names.to_string()),
            ("HOME", self.file("")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_CONFIG_FILE", self.file("rabbitmq.conf")),
            ("RABBITMQ_DIST_PORT", self.distribution.to_string()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", self.file("enabled_plugins")),
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_LOG_BASE", self.file("log")),
            ("RABBITMQ_MNESIA_BASE", self.file("mnesia")),
            ("RABBITMQ_NODENAME", format!("portcullis-{}@localhost", self.tls)),
            ("RABBITMQ_PID_FILE", self.file("pid")),
            // One scheduler that does not spin: the machines of tests are small.
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +sbwt none".to_owned()),
            // Then the shell script becomes the server, instead of watching over it.
            ("RUNNING_UNDER_SYSTEMD", "1".to_owned()),
        ] {
            command.env(name, value);
        }
        command.env_remove("NOTIFY_SOCKET");
        let mut server = Server::start(&mut command);
        server.wait_for("Server startup complete", START);
        self.server = Some((server, names));
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server = None;
    }

    fn configuration(&self) -> String {
        let pki = |name: &str| self.site.path(format!("pki/{name}")).display().to_string();
        format!(
            "listeners.tcp = none\nmqtt.listeners.tcp = none\n\
             mqtt.listeners.ssl.default = 127.0.0.1:{}\nmqtt.allow_anonymous = false\n\
             mqtt.ssl_cert_login = true\nssl_cert_login_from = common_name\n\
             ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n\
             load_definitions = {}\nlog.console = true\nlog.file = false\n",
            self.tls,
            pki("ca.pem"),
            pki("server.pem"),
            pki("server.key"),
            self.file("definitions.json"),
        )
    }

    fn file(&self, name: &str) -> String {
        self.site.path("rabbitmq").join(name).display().to_string()
    }
}

/// Users without passwords, who may do everything.
fn definitions(users: &[&str]) -> String {
    let all: Vec<_> = users
        .iter()
        .map(|name| {
            serde_json::json!({
                "name": name, "password_hash": "", "tags": "",
                "hashing_algorithm": "rabbit_password_hashing_sha256",
            })
        })
        .collect();
    let permissions: Vec<_> = users
        .iter()
        .map(|name| {
            serde_json::json!({
                "user": name, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*",
            })
        })
        .collect();
    let vhosts = [serde_json::json!({ "name": "/" })];
    serde_json::json!({ "users": all, "vhosts": vhosts, "permissions": permissions }).to_string()
}
