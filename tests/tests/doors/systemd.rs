//! Sockets that systemd has opened, and what it is told.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::{UnixDatagram, UnixListener};

use portcullis_tests::{Gateway, PATIENCE, Site, Wire};

#[test]
fn sockets_are_taken_by_their_names_and_the_supervisor_is_told() {
    let site = Site::new();
    site.configure(
        r#"[listeners.network]
bind = "systemd:mqtt"
transport = "tls"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
chain = ["password", "acl"]
[listeners.local]
bind = "systemd:mqtt-local"
transport = "tcp"
insecure-plaintext = "I accept that passwords and data travel unencrypted"
chain = ["password", "acl"]
"#,
    );
    let network = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
    let port = network.local_addr().expect("it is bound").port();
    let path = site.path("activated.sock");
    let local = UnixListener::bind(&path).expect("a Unix socket");
    let supervisor = site.path("notify.sock");
    let told = UnixDatagram::bind(&supervisor).expect("a Unix socket");
    told.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    let heard = || {
        let mut words = [0; 64];
        let count = told.recv(&mut words).expect("the gateway tells its supervisor");
        String::from_utf8_lossy(&words[..count]).into_owned()
    };

    let environment = [("NOTIFY_SOCKET", supervisor.as_os_str())];
    let sockets = [local.into(), network.into()];
    let gateway = Gateway::start_activated(&site, 4, "mqtt-local:mqtt", sockets, &environment);
    assert_eq!(heard(), "READY=1\n");
    let wire = Wire::tls(port, &site.ca()).expect("the gateway accepts connections");
    gateway.options("network").connect_on(wire);
    gateway
        .options("local")
        .connect_on(Wire::unix(&path).expect("the gateway accepts connections"));
    let accepted = gateway.events(0, "client accepted");
    assert_eq!(accepted[0]["listener"], "network");
    let peer = accepted[1]["peer"].as_str().unwrap_or_default();
    assert!(peer.starts_with("unix uid="), "{accepted:?}");
    let (status, _) = gateway.stop();
    assert_eq!(heard(), "STOPPING=1\n");
    assert!(status.success());
    assert!(path.exists(), "what systemd has made is systemd's");
}

#[test]
fn a_socket_that_was_not_handed_over_is_said_so() {
    let site = Site::new();
    site.configure(
        "[listeners.network]\nbind = \"systemd:mqtt\"\ntls.cert = \"pki/server.pem\"\n\
         tls.key = \"pki/server.key\"\nchain = [\"password\", \"acl\"]\n",
    );
    let mut gateway = Gateway::launch(&site);
    assert!(!gateway.ended().success());
    let said = gateway.log.text();
    assert!(said.contains("systemd:mqtt") && said.contains("handed over no socket"), "{said}");
    assert!(said.contains("FileDescriptorName="), "{said}");
    assert!(site.check().status.success(), "a check needs no systemd");
}
