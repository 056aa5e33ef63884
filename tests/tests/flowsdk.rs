//! Clients of the crate `flowsdk`, by which EMQ speaks MQTT over QUIC, on one stream and on several: its own implementation of MQTT.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and figures are for people to read"
)]

use std::ffi::OsStr;

use portcullis_tests::tools::flowsdk;
use portcullis_tests::{DEMO, Gateway, Site, free_port};
use serde_json::{Value, json};

/// Each sends itself thirty messages, of QoS 0, 1 and 2 in turns, over a transport.
#[test]
fn a_client_of_flowsdk_is_served() {
    let (site, port) = site();
    let mut gateway = Gateway::start_with(&site, 3);
    for (transport, port) in [("tcp", site.plain), ("quic", port), ("quic-streams", port)] {
        converses(&gateway, transport, port);
    }
    gateway.assert_sound();
}

/// With a listener for QUIC, and rules for what the clients send themselves.
fn site() -> (Site, u16) {
    let (site, port) = (Site::new(), free_port());
    site.rules("allow publish,subscribe user:demo own/#\n");
    site.configure(&format!(
        "[listeners.quic]\nbind = \"127.0.0.1:{port}\"\ntransport = \"quic\"\n\
         tls.cert = \"pki/server.pem\"\ntls.key = \"pki/server.key\"\nchain = [\"password\", \"acl\"]\n"
    ));
    (site, port)
}

fn converses(gateway: &Gateway<'_>, transport: &str, port: u16) {
    let (port, ca, password) = (port.to_string(), gateway.site.ca(), &gateway.site.password);
    let [transport, port, user, password] = [transport, &port, DEMO, password].map(OsStr::new);
    let out = flowsdk(&[transport, port, ca.as_os_str(), user, password]);
    let said = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{transport:?}: {said}\n{errors}\n{}", gateway.log.tail(20));
    let steps: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let expected = [
        json!({ "step": "connack", "code": 0 }),
        json!({ "step": "suback", "codes": [2] }),
        json!({ "step": "flow", "received": [10, 10, 10], "in_order": true, "acknowledged": 20 }),
        json!({ "step": "end" }),
    ];
    assert_eq!(steps, expected, "{transport:?}: {errors}");
    println!("flowsdk {transport:?}: {said}");
}
