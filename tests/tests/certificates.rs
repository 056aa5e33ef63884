//! The extension `x509` in a real gateway: clients that are known by their certificates.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mqtt::{Connect, ConnectProperties, Packet, QoS, ReasonCode, Version};
use portcullis_tests::{Client, Gateway, Received, Site, Wire, free_port, program};

/// Issues a certificate for a client with the authority of the site, or another one.
fn issue(site: &Site, name: &str, subject: &str, san: &str, ca: &Path, ca_key: &Path) -> PathBuf {
    let path = |end: &str| site.path(format!("pki/{name}.{end}"));
    let openssl = |arguments: &[&str], files: &[(&str, &Path)]| {
        let mut command = Command::new("openssl");
        command.args(arguments);
        for (option, file) in files {
            command.arg(option).arg(file);
        }
        let out = command.output().expect("openssl starts; `cargo xtask test` installs it");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    fs::write(path("ext"), format!("basicConstraints=CA:FALSE\n{san}")).expect("it is written");
    let new = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let request: Vec<_> = new.into_iter().chain(["-subj", subject]).collect();
    openssl(&request, &[("-keyout", &path("key")), ("-out", &path("csr"))]);
    openssl(
        &["x509", "-req", "-days", "2", "-set_serial", "7"],
        &[
            ("-in", &path("csr")),
            ("-extfile", &path("ext")),
            ("-CA", ca),
            ("-CAkey", ca_key),
            ("-out", &path("pem")),
        ],
    );
    path("pem")
}

/// Adds a listener with client certificates and a chain that begins with `x509`; gives its port.
fn configure(site: &Site, config: &str) -> u16 {
    let port = free_port();
    let component = program().extensions.join("x509.wasm");
    site.configure(&format!(
        r#"
[listeners.machines]
bind = "127.0.0.1:{port}"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
tls.client-auth = "optional"
tls.client-ca = "pki/ca.pem"
chain = ["x509", "password", "acl"]
[extensions.x509]
component = "{}"
grants = ["config", "log"]
[extensions.x509.config]
{config}
"#,
        component.display()
    ));
    port
}

fn knock(
    site: &Site,
    port: u16,
    certificate: Option<&str>,
    client_id: &str,
    user: Option<(&str, &str)>,
) -> Option<(Client, Received)> {
    let path = |name: &str, end: &str| site.path(format!("pki/{name}.{end}"));
    let files = certificate.map(|name| (path(name, "pem"), path(name, "key")));
    let identity = files.as_ref().map(|(certificate, key)| (&**certificate, &**key));
    let wire = Wire::tls_as(port, &site.ca(), identity).ok()?;
    let mut client = Client::on(wire, Version::V5);
    let sent = client.send(&Packet::Connect(Box::new(Connect {
        version: Version::V5,
        client_id,
        clean_start: true,
        keep_alive: 0,
        username: user.map(|(name, _)| name),
        password: user.map(|(_, password)| password.as_bytes()),
        will: None,
        properties: ConnectProperties::default(),
    })));
    sent.ok()?;
    let answer = client.receive();
    Some((client, answer))
}

#[test]
fn a_certificate_names_its_client() {
    let site = Site::new();
    let (ca, key) = (site.ca(), site.path("pki/ca.key"));
    let san = "subjectAltName=DNS:pump-1.plant.example,URI:urn:pump:1,URI:urn:pump:2";
    issue(&site, "pump", "/O=Plant/CN=pump-1", san, &ca, &key);
    issue(&site, "nameless", "/O=Plant", "", &ca, &key);
    site.rules("allow * user:pump-1 pumps/${client-id}/${attr.serial}\nallow * user:demo demo/#\n");
    let accepted = Received::ConnAck(ReasonCode::Success, false);
    let refused = Received::ConnAck(ReasonCode::NotAuthorized, false);

    let port = configure(&site, "client-id = \"prefix\"");
    let mut gateway = Gateway::start_with(&site, 3);
    let knock_as = |certificate, client_id, user| knock(&site, port, certificate, client_id, user);
    let (mut client, answer) = knock_as(Some("pump"), "pump-1-a", None).expect("a connection");
    assert_eq!(answer, accepted);
    assert!(!client.publish_and_wait("pumps/pump-1-a/07", b"x", false).is_error());
    assert!(client.publish_and_wait("pumps/pump-1-b/07", b"x", false).is_error());
    assert!(client.subscribe("demo/#", QoS::AtMostOnce).is_error());
    for (what, certificate, client_id, user, expected) in [
        ("another's identifier", Some("pump"), "pump-10", None, &refused),
        ("a certificate without a name", Some("nameless"), "c", None, &refused),
        ("a password as well", Some("pump"), "pump-1", Some(("demo", "wrong")), &accepted),
        ("a password alone", None, "c", Some(("demo", &*site.password)), &accepted),
        ("nothing", None, "c", None, &refused),
    ] {
        let (_, answer) = knock_as(certificate, client_id, user).expect("a connection");
        assert_eq!(answer, *expected, "{what}");
    }
    gateway.assert_sound();
    let by = gateway.events(0, "client refused");
    assert!(by[0]["decided_by"].as_str().is_some_and(|by| by.starts_with("x509@")), "{by:?}");
}

#[test]
fn the_operator_says_whose_certificates_count_and_what_names_a_client() {
    let site = Site::new();
    let (ca, key) = (site.ca(), site.path("pki/ca.key"));
    let san = "subjectAltName=DNS:pump-1.plant.example,URI:urn:pump:1,URI:urn:pump:2,IP:fd00::17";
    issue(&site, "pump", "/O=Plant/CN=pump-1", san, &ca, &key);
    // Of an authority that the listener does not trust.
    let other = Site::new();
    issue(&site, "strange", "/CN=pump-1", "", &other.ca(), &other.path("pki/ca.key"));
    for (config, client_id, expected) in [
        ("principal = \"san-dns\"\nclient-id = \"equals\"", "pump-1.plant.example", true),
        ("principal = \"san-dns\"\nclient-id = \"equals\"", "pump-1", false),
        ("principal = \"san-uri\"", "c", false),
        ("principal = \"san-ip\"\nclient-id = \"equals\"", "fd00::17", true),
        ("issuers = \"CN=Somebody\"", "c", false),
    ] {
        let port = configure(&site, config);
        let gateway = Gateway::start_with(&site, 3);
        let (_, answer) = knock(&site, port, Some("pump"), client_id, None).expect("a connection");
        let code = if expected { ReasonCode::Success } else { ReasonCode::NotAuthorized };
        assert_eq!(answer, Received::ConnAck(code, false), "{config}");
        let stranger = knock(&site, port, Some("strange"), client_id, None);
        let outside = stranger.is_none_or(|(_, answer)| answer == Received::Closed);
        assert!(outside, "the listener verifies the chain");
        drop(gateway);
    }
}
