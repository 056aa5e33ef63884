//! A Unix socket: for programs of the same machine, known by their user.

use std::fs;
use std::os::unix::fs::MetadataExt;

use mqtt::QoS;
use portcullis_tests::{Gateway, Operator, Site, Wire};

const LISTENER: &str = "[listeners.local]\nbind = \"unix:mqtt.sock\"\nmode = \"0600\"\nchain = [\"password\", \"acl\"]\n";

#[test]
fn a_program_of_this_machine_is_known_by_its_user() {
    let site = Site::new();
    site.configure(LISTENER);
    let path = site.path("mqtt.sock");
    let gateway = Gateway::start_with(&site, 3);
    assert_eq!(fs::metadata(&path).expect("the socket is there").mode() & 0o777, 0o600);
    let wire = Wire::unix(&path).expect("the gateway accepts connections");
    let mut client = gateway.options("local").connect_on(wire);
    client.subscribe("demo/#", QoS::AtMostOnce);
    gateway.client("other").publish("demo/x", b"y", QoS::AtMostOnce, false);
    assert_eq!(client.message().payload, b"y");

    let own = fs::metadata("/proc/self").expect("a process");
    let peer = format!("unix uid={} gid={} pid={}", own.uid(), own.gid(), std::process::id());
    let accepted = gateway.events(0, "client accepted");
    assert_eq!(accepted[0]["peer"], peer.as_str(), "{accepted:?}");
    let (status, shown) = Operator::of(&site).request("GET", "/v1/clients/local", "");
    assert!(status == 200 && shown.contains(&peer), "{status} {shown}");
    let explained =
        Operator::of(&site).says(&["explain", "--client", "local", "--publish", "demo/x"]);
    assert!(explained.contains("allow"), "{explained}");

    // Another gateway does not take it away, and a killed one leaves nothing that stands in the way.
    gateway.kill();
    assert!(path.exists());
    let gateway = Gateway::start_with(&site, 3);
    gateway
        .options("again")
        .connect_on(Wire::unix(&path).expect("the gateway accepts connections"));
    let (status, _) = gateway.stop();
    assert!(status.success());
    assert!(!path.exists(), "an ordered end takes it along");
}
