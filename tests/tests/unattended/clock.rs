//! A box without a battery for its clock, which starts in 1970.

use std::fs;
use std::process::Command;

use mqtt::QoS;
use portcullis_tests::{Gateway, Site, Wall, Wire, free_port, program};

#[test]
fn certificates_and_queues_bear_a_clock_that_is_not_set() {
    let (site, port) = (Site::new(), free_port());
    site.configure(&format!(
        "[listeners.devices]\nbind = \"127.0.0.1:{port}\"\ntls.cert = \"pki/server.pem\"\ntls.key = \"pki/server.key\"\n\
         tls.client-auth = \"required\"\ntls.client-ca = \"pki/ca.pem\"\nchain = [\"password\", \"acl\"]\n"
    ));
    let made = Command::new(&program().portcullis)
        .args(["cert", "client", "pump", "--dir"])
        .arg(site.path("pki"))
        .status();
    assert!(made.expect("the gateway starts").success(), "a certificate for a client");
    let identity = (site.path("pki/pump.pem"), site.path("pki/pump.key"));
    let knock = |gateway: &Gateway<'_>| {
        let identity = Some((identity.0.as_path(), identity.1.as_path()));
        let wire = Wire::tls_as(port, &site.ca(), identity).expect("the certificate is valid now");
        gateway.options("pump").persistent().connect_on(wire)
    };
    Gateway::start_with(&site, 3).stop();
    let noted = fs::metadata(site.path("data/clock")).and_then(|about| about.modified());
    assert!(noted.is_ok(), "the end of a run is noted: {noted:?}");

    let wall = Wall::new(&site, 86_400);
    let gateway = Gateway::start_in(&site, 3, &wall.environment());
    let behind = gateway.events(0, "system's clock is behind what was noted last; time is taken to go on from there until it is set");
    assert!(behind[0]["behind_s"].as_u64() > Some(50 * 365 * 86_400), "{behind:?}");
    let mut away = knock(&gateway);
    away.subscribe("demo/#", QoS::AtLeastOnce);
    away.leave();
    gateway.client("other").publish_and_wait("demo/x", b"kept", false);
    gateway.stop();

    // Set at last. Counted from 1970 the session would have ended half a century ago.
    let gateway = Gateway::start_with(&site, 3);
    assert!(gateway.events(0, "system's clock is behind what was noted last; time is taken to go on from there until it is set").is_empty());
    assert_eq!(knock(&gateway).message().payload, b"kept");
}
