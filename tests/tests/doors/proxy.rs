//! The PROXY protocol: a client behind a proxy is who the proxy says, everywhere.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use mqtt::QoS;
use portcullis_tests::{Gateway, MQTT, Operator, PATIENCE, Site, WebSocket, Wire, free_port};

/// Version 2, PROXY, TCP over IPv4: from 198.51.100.7:51234 to 192.0.2.1:8883.
const HEADER: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x01\xc8\x22\x22\xb3";

#[test]
fn logs_operator_and_extensions_know_the_client_behind_the_proxy() {
    let (site, tcp, ws) = (Site::new(), free_port(), free_port());
    site.configure(&format!(
        r#"[listeners.behind]
bind = "127.0.0.1:{tcp}"
transport = "tcp"
proxy-protocol = ["127.0.0.0/8"]
connect-timeout = "5s"
chain = ["password", "acl"]
[listeners.pages]
bind = "127.0.0.1:{ws}"
transport = "ws"
proxy-protocol = ["127.0.0.1"]
chain = ["password", "acl"]
[listeners.elsewhere]
bind = "127.0.0.1:0"
transport = "tcp"
proxy-protocol = ["192.0.2.0/24"]
chain = ["password", "acl"]
"#
    ));
    let mut gateway = Gateway::start_with(&site, 5);
    let mut client = gateway.options("behind").connect_on(proxied(tcp));
    client.subscribe("demo/#", QoS::AtMostOnce);
    let socket = WebSocket::open(proxied(ws), MQTT).expect("it is opened");
    gateway.options("page").connect_on(Wire::Web(Box::new(socket)));
    let accepted = gateway.events(0, "client accepted");
    assert_eq!(accepted.len(), 2, "{accepted:?}");
    assert!(accepted.iter().all(|event| event["peer"] == "198.51.100.7:51234"), "{accepted:?}");
    let (status, shown) = Operator::of(&site).request("GET", "/v1/clients/behind", "");
    assert!(status == 200 && shown.contains("\"198.51.100.7:51234\""), "{status} {shown}");

    // Without a header nobody gets in, and soon hears the end; half of one ends with the time for connecting.
    let mark = gateway.log.mark();
    let mut bare = gateway.options("bare").knock_on(plain(tcp)).expect("it is read").into_wire();
    assert!(bare.closes_within(PATIENCE));
    let mut half = plain(tcp);
    half.write_all(&HEADER[..20]).expect("it is read");
    assert!(!half.closes_within(Duration::from_secs(1)), "the rest may come");
    assert!(half.closes_within(PATIENCE));
    let why: Vec<_> = gateway
        .events(mark, "connection turned away")
        .iter()
        .map(|event| event["why"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(why[0].contains("PROXY protocol, version 2"), "{why:?}");
    assert!(why[1].contains("within connect-timeout"), "{why:?}");
    gateway.assert_sound();
}

#[test]
fn who_is_no_proxy_cannot_say_who_it_is() {
    let (site, port) = (Site::new(), free_port());
    site.configure(&format!(
        r#"[listeners.behind]
bind = "127.0.0.1:{port}"
transport = "tcp"
proxy-protocol = ["192.0.2.0/24"]
chain = ["password", "acl"]
"#
    ));
    let mut gateway = Gateway::start_with(&site, 3);
    assert!(proxied(port).closes_within(PATIENCE));
    let refused = gateway.events(0, "connection turned away");
    assert_eq!(refused[0]["peer"], "127.0.0.1", "the address is its own: {refused:?}");
    gateway.options("direct").connect_on(plain(port));
    let accepted = gateway.events(0, "client accepted");
    assert!(accepted[0]["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")));
    gateway.assert_sound();
}

fn plain(port: u16) -> Wire {
    Wire::plain(port).expect("the gateway accepts connections")
}

/// A connection on which a proxy has introduced its client.
pub(crate) fn proxied(port: u16) -> Wire {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it is accepted");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    stream.write_all(HEADER).expect("it is read");
    Wire::Plain(stream)
}
