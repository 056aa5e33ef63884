use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use mqtt::{Connect, ConnectProperties, Packet, Version};
use portcullis_tests::{Client, DEMO, Gateway, PATIENCE, Received, Site, Wire, free_port, program};
use serde_json::Value;

/// A site with a listener that asks for client certificates, and its authority at work.
pub(crate) struct Bench {
    pub(crate) site: Site,
    /// Port of the listener `machines`.
    pub(crate) port: u16,
}

impl Bench {
    /// The listener presents `pki/live.pem`, trusts the site's authority and heeds its list.
    pub(crate) fn new() -> Self {
        let bench = Self { site: Site::as_made(), port: free_port() };
        bench.renew();
        bench.cert(&["crl"]);
        bench.configure("");
        bench
    }

    /// Writes the configuration, with more for the listener.
    pub(crate) fn configure(&self, more: &str) {
        self.site.configure(&format!(
            r#"
[listeners.machines]
bind = "127.0.0.1:{}"
tls.cert = "pki/live.pem"
tls.key = "pki/live.key"
tls.client-auth = "optional"
tls.client-ca = "pki/ca.pem"
tls.client-crl = ["pki/crl.pem"]
chain = ["password", "acl"]
{more}
"#,
            self.port
        ));
    }

    pub(crate) fn start(&self) -> Gateway<'_> {
        Gateway::start_with(&self.site, 3)
    }

    pub(crate) fn pki(&self, name: &str) -> PathBuf {
        self.site.path("pki").join(name)
    }

    /// Runs `portcullis cert` in the site's directory; it must succeed. Gives what it prints.
    pub(crate) fn cert(&self, words: &[&str]) -> String {
        let out = self.try_cert(words);
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("it prints text")
    }

    /// Runs `portcullis cert` in the site's directory.
    pub(crate) fn try_cert(&self, words: &[&str]) -> Output {
        let mut command = Command::new(&program().portcullis);
        command.current_dir(self.site.path("")).arg("cert").args(words);
        command.output().expect("the command starts")
    }

    /// Another key and certificate for the listener.
    pub(crate) fn renew(&self) {
        self.cert(&["server", "--name", "localhost", "--out", "pki/live", "--force"]);
    }

    /// Connects to `machines` as [`DEMO`], with a certificate of `pki/` or none; `None` without an answer.
    pub(crate) fn knock(&self, client_id: &str, certificate: Option<&str>) -> Option<Client> {
        let file = |end: &str| certificate.map(|name| self.pki(&format!("{name}.{end}")));
        let (certificate, key) = (file("pem"), file("key"));
        let identity = certificate.as_deref().zip(key.as_deref());
        let wire = Wire::tls_as(self.port, &self.site.ca(), identity).ok()?;
        let mut client = Client::on(wire, Version::V5);
        let connect = Packet::Connect(Box::new(Connect {
            version: Version::V5,
            client_id,
            clean_start: true,
            keep_alive: 0,
            username: Some(DEMO),
            password: Some(self.site.password.as_bytes()),
            will: None,
            properties: ConnectProperties::default(),
        }));
        client.send(&connect).ok()?;
        match client.receive() {
            Received::ConnAck(code, _) if !code.is_error() => Some(client),
            Received::Closed => None,
            other => panic!("{client_id} hears {other:?}"),
        }
    }
}

/// Waits for a line of the listener `machines` since `mark`.
pub(crate) fn line(gateway: &Gateway<'_>, mark: usize, message: &str) -> Value {
    within(gateway, mark, message, PATIENCE)
        .unwrap_or_else(|| panic!("no {message:?}:\n{}", gateway.log.text()))
}

pub(crate) fn within(
    gateway: &Gateway<'_>,
    mark: usize,
    message: &str,
    patience: Duration,
) -> Option<Value> {
    gateway.log.wait(mark, patience, |event| {
        let said = event["message"].as_str().unwrap_or_default();
        event["listener"] == "machines" && said.starts_with(message)
    })
}
