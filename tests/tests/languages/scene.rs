//! A gateway whose clients show tokens, and one case of the table on it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mqtt::{
    Connect, ConnectProperties, MessageProperties, Packet, QoS, ReasonCode, TopicName, Version,
    Will,
};
use portcullis_tests::{Client, Gateway, PATIENCE, Received, Site, Wire, free_port};
use serde_json::{Value, json};

use crate::issuer::{Issuer, jwks};

/// A component with a run-time inside takes this long to load, where the gateway is not optimised and the machine busy.
const LOADING: Duration = Duration::from_secs(240);

/// What a client shows.
pub(crate) enum Shown {
    /// No password.
    Nothing,
    /// This password.
    Bytes(Vec<u8>),
    /// A token with these claims beside the usual ones.
    Claims(Value),
}

/// What a client wants.
pub(crate) enum Wants {
    /// To be let in.
    In,
    /// To be let in with a will on this topic.
    Will(&'static str),
    /// To publish to this topic, and whether to have it retained.
    Publish(&'static str, bool),
    /// To subscribe to this filter.
    Subscribe(&'static str, QoS),
}

/// One line of the table.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) shown: Shown,
    /// What its client identifier begins with.
    pub(crate) prefix: &'static str,
    pub(crate) wants: Wants,
    /// What CONNACK, PUBACK or SUBACK says.
    pub(crate) code: ReasonCode,
    /// Words of the log; empty where nothing is refused.
    pub(crate) words: &'static str,
}

/// What a gateway runs on.
pub(crate) struct Scene {
    pub(crate) issuer: Issuer,
    site: Site,
    extension: String,
    /// Port of the listener where a password does too.
    mixed: u16,
}

impl Scene {
    pub(crate) fn new(component: &Path, grants: &[&str]) -> Self {
        let (site, issuer) = (Site::new(), Issuer::new(1));
        fs::write(site.path("keys.json"), jwks(&[&issuer])).expect("the keys are written");
        let grants = [&["config", "credentials", "log"], grants].concat();
        let mixed = free_port();
        // A busy machine is no fault of a guest.
        let extension = format!(
            r#"
[listeners.mixed]
bind = "127.0.0.1:{mixed}"
transport = "tcp"
chain = ["password", "tenants"]
[extensions.tenants]
component = "{}"
memory = "64 MiB"
grants = {grants:?}
deadline.init = "30s"
deadline.authenticate = "4s"
deadline.authorize = "4s"
[extensions.tenants.key-sets.plant]
file = "keys.json"
algorithms = ["EdDSA"]
issuer = "plant"
audience = "mqtt"
leeway = "0s"
[extensions.tenants.config]
"#,
            component.display()
        );
        let scene = Self { issuer, site, extension, mixed };
        scene.configure("key-set = \"plant\"\nadmin-claim = \"roles=site-admin\"");
        scene
    }

    /// Sets what the extension reads.
    pub(crate) fn configure(&self, config: &str) {
        self.site.configure_with(&["tenants"], &format!("{}{config}\n", self.extension));
    }

    pub(crate) fn start(&self) -> Gateway<'_> {
        Gateway::start_patiently(&self.site, 3, LOADING)
    }

    /// The port where a password does too.
    pub(crate) fn mixed(&self) -> u16 {
        self.mixed
    }

    /// A token with these claims beside the usual ones.
    pub(crate) fn token(&self, claims: &Value) -> Vec<u8> {
        self.issuer.token(claims).into_bytes()
    }

    /// Connects with a token of this tenant and role, and must be let in.
    pub(crate) fn member(
        &self,
        gateway: &Gateway<'_>,
        tenant: &str,
        role: &str,
        id: &str,
    ) -> Client {
        let token = self.token(&json!({ "tenant": tenant, "roles": [role] }));
        let (client, code) = connect(gateway, &format!("{tenant}-{id}"), Some(&token), None);
        assert_eq!(code, ReasonCode::Success, "{tenant}-{id}");
        client
    }

    /// Plays one case, as a client of its own.
    pub(crate) fn plays(&self, gateway: &Gateway<'_>, case: &Case, number: usize) {
        let client_id = format!("{}{number}", case.prefix);
        let password = match &case.shown {
            Shown::Nothing => None,
            Shown::Bytes(bytes) => Some(bytes.clone()),
            Shown::Claims(claims) => Some(self.token(claims)),
        };
        let will = if let Wants::Will(topic) = case.wants { Some(topic) } else { None };
        let mark = gateway.log.mark();
        let (mut client, code) = connect(gateway, &client_id, password.as_deref(), will);
        let what = case.what;
        let (code, message, field) = match case.wants {
            Wants::In | Wants::Will(_) => (code, "client refused", "why"),
            Wants::Publish(topic, retain) => {
                assert_eq!(code, ReasonCode::Success, "{what}: CONNACK");
                let code = client.publish_and_wait(topic, b"x", retain);
                if retain && !code.is_error() {
                    // Nobody is to find it later.
                    client.publish_and_wait(topic, b"", true);
                }
                // Whether somebody has subscribed is another matter.
                let heard = code == ReasonCode::NoMatchingSubscribers;
                (if heard { ReasonCode::Success } else { code }, "client denied", "decision")
            }
            Wants::Subscribe(filter, qos) => {
                assert_eq!(code, ReasonCode::Success, "{what}: CONNACK");
                (client.subscribe(filter, qos), "client denied", "decision")
            }
        };
        assert_eq!(code, case.code, "{what}");
        if case.words.is_empty() {
            return;
        }
        let about = |event: &Value| event["message"] == message && event["client"] == client_id;
        let event = gateway.log.wait(mark, PATIENCE, about);
        let event = event.unwrap_or_else(|| panic!("{what}: no line says \"{message}\""));
        let said = event[field].as_str().unwrap_or_default();
        assert!(said.contains(case.words), "{what}: {said}");
    }
}

/// Sends CONNECT; gives the client and what CONNACK says.
pub(crate) fn connect(
    gateway: &Gateway<'_>,
    client_id: &str,
    password: Option<&[u8]>,
    will: Option<&str>,
) -> (Client, ReasonCode) {
    connect_as(gateway.plain(), Version::V5, client_id, (None, password), will)
}

/// As [`connect`], on this connection, in this version, and with a user name.
pub(crate) fn connect_as(
    wire: Wire,
    version: Version,
    client_id: &str,
    (username, password): (Option<&str>, Option<&[u8]>),
    will: Option<&str>,
) -> (Client, ReasonCode) {
    let will = will.map(|topic| Will {
        topic: TopicName::new(topic).expect("a topic"),
        payload: b"gone",
        qos: QoS::AtLeastOnce,
        retain: false,
        delay: 0,
        message_expiry: None,
        properties: MessageProperties::default(),
    });
    let mut client = Client::on(wire, version);
    let packet = Packet::Connect(Box::new(Connect {
        version,
        client_id,
        clean_start: true,
        keep_alive: 0,
        username,
        password,
        will,
        properties: ConnectProperties::default(),
    }));
    client.send(&packet).expect("the gateway reads");
    match client.receive() {
        Received::ConnAck(code, _) => (client, code),
        other => panic!("{client_id}: {other:?} instead of CONNACK"),
    }
}
