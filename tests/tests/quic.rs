//! MQTT over QUIC with the real gateway: one stream is a connection, which survives another address of its client.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::time::Duration;

use mqtt::{PacketKind, QoS, ReasonCode};
use portcullis_tests::tools::{aioquic, quiche};
use portcullis_tests::{Client, DEMO, Gateway, Options, Received, Site, Wire, free_port};
use serde_json::{Value, json};

fn options(gateway: &Gateway<'_>, client_id: &str, port: u16) -> Options {
    gateway.options(client_id).quic_at(port)
}

fn wire(client: &mut Client) -> &portcullis_tests::QuicWire {
    match client.wire() {
        Wire::Quic(wire) => wire,
        other => panic!("{other:?} is no QUIC"),
    }
}

#[test]
fn clients_of_all_transports_meet_and_a_session_follows_its_client() {
    let web = free_port();
    let (site, port) = Site::with_quic(&format!(
        "[listeners.web]\nbind = \"127.0.0.1:{web}\"\ntransport = \"wss\"\n\
         tls.cert = \"pki/server.pem\"\ntls.key = \"pki/server.key\"\nchain = [\"password\", \"acl\"]\n"
    ));
    let mut gateway = Gateway::start_with(&site, 4);
    let mut over_quic = options(&gateway, "roams", port).persistent().connect();
    assert_eq!(over_quic.subscribe("t/#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    let mut publisher = gateway.client("publisher");
    assert_eq!(publisher.publish_and_wait("t/1", b"one", false), ReasonCode::Success);
    let message = over_quic.message();
    assert_eq!((message.topic.as_str(), &message.payload[..]), ("t/1", &b"one"[..]));
    // An endpoint that goes takes along what it has not sent.
    assert!(over_quic.pings());
    drop(over_quic);
    // The queue waits for it on whatever it comes back.
    assert_eq!(publisher.publish_and_wait("t/2", b"two", false), ReasonCode::Success);
    let mut over_tls = gateway.options("roams").persistent().connect();
    match over_tls.receive() {
        Received::Publish(message) => assert_eq!(&message.payload[..], b"two"),
        other => panic!("{other:?}"),
    }
    drop(over_tls);
    let web = Wire::wss(web, &site.ca()).expect("the gateway accepts connections");
    let mut over_web = gateway.options("roams").persistent().connect_on(web);
    match over_web.receive() {
        Received::Publish(message) => assert_eq!(&message.payload[..], b"two"),
        other => panic!("{other:?}"),
    }
    drop(over_web);
    let mut again = options(&gateway, "roams", port).persistent().connect();
    let message = again.message();
    assert_eq!((&message.payload[..], message.dup), (&b"two"[..], true), "it was not confirmed");
    gateway.assert_sound();
}

/// A flow of QoS 2 in both directions while the client moves from port to port.
#[test]
fn nothing_is_lost_and_nothing_comes_twice_while_a_client_moves() {
    const MESSAGES: u32 = 1000;
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    let mut client = options(&gateway, "moves", port).connect();
    assert_eq!(client.subscribe("own/#", QoS::ExactlyOnce), ReasonCode::GrantedQos2);
    let mut received: BTreeMap<u32, u32> = BTreeMap::new();
    let (mut sent, mut completed, mut moved) = (0, 0, 0);
    while completed < MESSAGES || received.len() < MESSAGES as usize {
        if sent < MESSAGES && sent - completed < 100 {
            client.publish("own/x", &sent.to_be_bytes(), QoS::ExactlyOnce, false);
            sent += 1;
            if sent % 100 == 0 {
                wire(&mut client).move_away();
                moved += 1;
            }
            if sent - completed < 100 && sent < MESSAGES {
                continue;
            }
        }
        let send = |client: &mut Client, kind, of| {
            client.ack(kind, of).expect("the connection is there");
        };
        match client.receive() {
            Received::Publish(message) => {
                let payload = message.payload.clone().try_into().expect("four bytes");
                *received.entry(u32::from_be_bytes(payload)).or_default() += 1;
                send(&mut client, PacketKind::PubRec, message.id);
            }
            Received::Ack(PacketKind::PubRec, of, _) => send(&mut client, PacketKind::PubRel, of),
            Received::Ack(PacketKind::PubRel, of, _) => send(&mut client, PacketKind::PubComp, of),
            Received::Ack(PacketKind::PubComp, ..) => completed += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(moved, MESSAGES / 100);
    assert!(received.values().all(|times| *times == 1), "exactly once: {received:?}");
    assert_eq!(received.len(), MESSAGES as usize);
    println!("{MESSAGES} messages of QoS 2 there and back over {moved} moves: 0 lost, 0 twice");
    gateway.assert_sound();
}

#[test]
fn a_client_that_is_gone_leaves_its_will() {
    let (site, port) = Site::with_quic("");
    let gateway = Gateway::start_with(&site, 3);
    let mut watcher = gateway.client("watcher");
    assert_eq!(watcher.subscribe("will/#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    let mut client = options(&gateway, "abandons", port).will("will/a", "gone").connect();
    wire(&mut client).abandon(7);
    assert_eq!(&watcher.message().payload[..], b"gone");
    let client = options(&gateway, "finishes", port).will("will/b", "ended").connect();
    drop(client);
    assert_eq!(&watcher.message().payload[..], b"ended");
    options(&gateway, "leaves", port).will("will/c", "never").connect().leave();
    assert!(watcher.receive_within(Duration::from_millis(300)).is_none(), "it said goodbye");
}

/// Another implementation of QUIC: aioquic, with a key update and a change of port in the middle.
#[test]
fn a_client_of_aioquic_is_served() {
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    let (port, ca) = (port.to_string(), site.ca());
    let arguments =
        [OsStr::new(&port), ca.as_os_str(), OsStr::new(DEMO), OsStr::new(&site.password)];
    let out = aioquic(&arguments);
    let said = String::from_utf8_lossy(&out.stdout);
    let steps: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}\n{errors}\n{}", gateway.log.text());
    let expected = [
        json!({ "step": "connack", "code": 0, "stream": 0 }),
        json!({ "step": "suback", "code": 1 }),
        json!({ "step": "flow", "in_order": true, "acknowledged": 50 }),
        json!({ "step": "streams", "kinds": [[3, 4], [3, 4]], "control": 0 }),
        json!({ "step": "reset", "kind": 3, "dup": true, "topic": "one/x" }),
        json!({ "step": "one-way", "kind": 4, "id": 5 }),
    ];
    assert_eq!(steps.get(..6), Some(&expected[..]), "{said}");
    assert_eq!((&steps[6]["step"], &steps[6]["rest"]), (&json!("end"), &Value::Null), "{said}");
    println!("{said}");
    gateway.assert_sound();
}

/// A third one: Cloudflare's quiche, in C's and BoringSSL's world. It moves while streams are in use, and asks in vain for early
/// data when it comes again.
#[test]
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    ignore = "npm has quiche ready to run for Linux on x86-64 only"
)]
fn a_client_of_quiche_is_served() {
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    let (port, ca) = (port.to_string(), site.ca());
    let arguments =
        [OsStr::new(&port), ca.as_os_str(), OsStr::new(DEMO), OsStr::new(&site.password)];
    let out = quiche(&arguments);
    let said = String::from_utf8_lossy(&out.stdout);
    let steps: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}\n{errors}\n{}", gateway.log.text());
    let publish = |qos: u8, answer: Option<u8>| {
        let payload = format!("qos {qos}");
        json!({ "step": "publish", "qos": qos, "topic": "b/each", "payload": payload, "answer": answer })
    };
    let expected = [
        json!({ "step": "connack", "code": 0, "alpn": "mqtt" }),
        json!({ "step": "suback", "stream": 4, "code": 2 }),
        json!({ "step": "suback", "stream": 8, "code": 2 }),
        publish(0, None),
        publish(1, Some(4)),
        publish(2, Some(5)),
        json!({ "step": "flow", "in_order": true, "moved": true }),
        json!({ "step": "one-way", "answer": 4, "id": 9 }),
        json!({ "step": "again", "early": false, "code": 0, "resumed": true }),
    ];
    assert_eq!(steps, expected, "{said}");
    println!("{said}");
    gateway.assert_sound();
}

#[test]
fn a_refused_client_hears_why_before_the_connection_ends() {
    let (site, port) = Site::with_quic("");
    let gateway = Gateway::start_with(&site, 3);
    let wrong = options(&gateway, "thief", port).user("demo", "guessed").try_connect();
    let (mut client, answer) = wrong.expect("a connection");
    assert!(
        matches!(answer, Received::ConnAck(ReasonCode::BadUserNameOrPassword, _)),
        "{answer:?}"
    );
    assert!(client.wire().closes_within(Duration::from_secs(10)));
}

#[test]
fn a_stop_of_the_gateway_is_told() {
    let (site, port) = Site::with_quic("");
    let gateway = Gateway::start_with(&site, 3);
    let mut client = options(&gateway, "stays", port).connect();
    let (status, _) = gateway.stop();
    assert!(status.success());
    assert!(
        matches!(client.receive(), Received::Disconnect(ReasonCode::ServerShuttingDown)),
        "it is told"
    );
}

#[test]
fn garbage_and_silence_cost_their_own_connection_only() {
    use std::io::Write;
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    let mut sound = options(&gateway, "sound", port).connect();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xFF; 64], &[0x10, 0xFF, 0xFF, 0xFF, 0xFF]] {
        let mut wire = Wire::quic(port, &site.ca(), None).expect("a connection");
        wire.write_all(bytes).expect("they are sent");
        assert!(wire.closes_within(Duration::from_secs(15)), "{bytes:?}");
    }
    // Datagrams that are no QUIC are dropped.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    for length in [0, 1, 20, 1200] {
        socket.send_to(&vec![0xC3; length], ("127.0.0.1", port)).expect("they are sent");
    }
    assert!(sound.pings());
    let mut silent = Wire::quic(port, &site.ca(), None).expect("a connection");
    silent.set_patience(Duration::from_millis(200));
    assert!(silent.read(&mut [0; 8]).is_err(), "nothing comes");
    assert!(sound.pings());
    gateway.assert_sound();
}
