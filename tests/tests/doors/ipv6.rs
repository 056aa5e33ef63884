//! IPv6, and several listeners that each have their own chain, limits and TLS.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Gateway, PATIENCE, Site, Wire, free_port};

#[test]
fn a_listener_of_both_families_knows_which_a_client_has() {
    let (site, port) = (Site::new(), free_port());
    site.configure(&format!(
        "[listeners.both]\nbind = \"[::]:{port}\"\ntls.cert = \"pki/server.pem\"\n\
         tls.key = \"pki/server.key\"\nchain = [\"password\", \"acl\"]\n"
    ));
    let gateway = Gateway::start_with(&site, 3);
    for (address, shown) in [
        (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "127.0.0.1:"),
        (SocketAddr::from((Ipv6Addr::LOCALHOST, port)), "[::1]:"),
    ] {
        let mark = gateway.log.mark();
        let wire = Wire::tls_to(b"mqtt", address, &site.ca(), None).expect("it is accepted");
        gateway.options("both").connect_on(wire);
        let accepted = gateway.events(mark, "client accepted");
        let peer = accepted[0]["peer"].as_str().unwrap_or_default();
        assert!(peer.starts_with(shown), "{peer}");
    }
}

#[test]
fn listeners_have_chains_limits_and_tls_of_their_own() {
    let (site, open, strict, few) = (Site::new(), free_port(), free_port(), free_port());
    site.configure(&format!(
        r#"[listeners.open]
bind = "[::1]:{open}"
transport = "tcp"
chain = ["password", "acl"]
[listeners.nobody]
bind = "[::1]:{strict}"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
tls.client-auth = "required"
tls.client-ca = "pki/ca.pem"
chain = ["acl"]
[listeners.few]
bind = "[::1]:{few}"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
max-connections = 1
chain = ["password"]
"#
    ));
    let gateway = Gateway::start_with(&site, 5);
    let at = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let plain = |port| Wire::plain_to(at(port)).expect("the gateway accepts connections");
    let mut client = gateway.options("open").connect_on(plain(open));
    assert_eq!(client.subscribe("demo/#", QoS::AtMostOnce), ReasonCode::Success);

    // Nobody in the second chain knows who anybody is; and without a certificate it is not even asked.
    let ca = site.ca();
    let bare = Wire::tls_to(b"mqtt", at(strict), &ca, None)
        .and_then(|wire| gateway.options("strict").knock_on(wire));
    // In TLS 1.3 a client learns of it with the first answer.
    let heard = bare.map(|client| client.into_wire().closes_within(PATIENCE));
    assert!(heard.is_err() || heard.is_ok_and(|closed| closed));
    let (certificate, key) = (site.path("pki/server.pem"), site.path("pki/server.key"));
    let refused = Wire::tls_to(b"mqtt", at(strict), &ca, Some((&certificate, &key)));
    // The server's own certificate is from the right authority and for the wrong purpose.
    let refused = refused.map(|mut wire| wire.closes_within(PATIENCE));
    assert!(refused.is_err() || refused.is_ok_and(|closed| closed));

    // The third has one place, and no permissions without the second extension.
    let wire = Wire::tls_to(b"mqtt", at(few), &ca, None).expect("the first is accepted");
    let mut first = gateway.options("few").connect_on(wire);
    assert_eq!(first.subscribe("demo/#", QoS::AtMostOnce), ReasonCode::NotAuthorized);
    let mut second = plain(few);
    second.write_all(b"no TLS").expect("the kernel takes it");
    assert!(!second.closes_within(Duration::from_secs(1)), "it waits in the kernel");
    drop(first);
    assert!(second.closes_within(PATIENCE), "it is its turn, and it is refused");
}
