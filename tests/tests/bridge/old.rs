//! An upstream that knows MQTT 3.1.1 only, played by the test.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use mqtt::{PacketKind, QoS, Version};
use portcullis_tests::{Client, Gateway, PATIENCE, Received, Site, Wire};

use crate::downstream::{QUICK, rules, wait_for, wait_until_empty};

/// CONNACK as a broker of 3.1.1 has it: two bytes, the second the return code.
const UNACCEPTABLE_VERSION: [u8; 4] = [0x20, 2, 0, 1];
const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];

struct Old(TcpListener);

impl Old {
    fn listen() -> (Self, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        (Self(listener), port)
    }

    /// The next connection, whose CONNECT has been read.
    fn accept(&self, version: Version) -> Client {
        let (mut stream, _) = self.0.accept().expect("the bridge comes");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        let connect = packet(&mut stream);
        let level = if version.is_v5() { 5 } else { 4 };
        assert_eq!(connect.get(..7), Some(&[0, 4, b'M', b'Q', b'T', b'T', level][..]));
        Client::on(Wire::Plain(stream), version)
    }
}

/// What is in the next packet, behind its head. A client of the tests does not read CONNECT.
fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut byte = || {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the bridge speaks");
        usize::from(byte[0])
    };
    byte();
    let (mut length, mut shift) = (0, 0);
    loop {
        let digit = byte();
        length |= (digit & 0x7F) << shift;
        shift += 7;
        if digit < 0x80 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("the bridge speaks");
    body
}

fn configure(site: &Site, port: u16, outward: &str, inward: &str) {
    let rules = rules("up", &[outward], &[inward]);
    site.configure(&format!("[bridges.up]\nurl = \"mqtt://127.0.0.1:{port}\"\n{QUICK}{rules}"));
}

#[test]
fn it_is_spoken_to_as_it_understands() {
    let (site, (old, port)) = (Site::new(), Old::listen());
    configure(&site, port, "filter = \"demo/up/#\"", "filter = \"demo/down/#\"");
    let mut gateway = Gateway::start(&site);
    old.accept(Version::V5).send_raw(&UNACCEPTABLE_VERSION).expect("the bridge reads");
    let mut bridge = old.accept(Version::V3_1_1);
    bridge.send_raw(&ACCEPTED).expect("the bridge reads");
    assert_eq!(bridge.receive(), Received::Other(PacketKind::Subscribe));
    bridge.send_raw(&[0x90, 3, 0, 1, 2]).expect("the bridge reads");
    gateway.client("device").publish_and_wait("demo/up/x", b"1", false);
    let Received::Publish(message) = bridge.receive() else { panic!("no message") };
    assert_eq!(
        (&*message.topic, &*message.payload, message.qos),
        ("demo/up/x", &b"1"[..], QoS::AtLeastOnce)
    );
    bridge.acknowledge(&message).expect("the bridge reads");
    wait_for(&gateway, "confirmed", 1);
    wait_until_empty(&gateway);
    // It is not asked for more again while the gateway runs.
    drop(bridge);
    old.accept(Version::V3_1_1).send_raw(&ACCEPTED).expect("the bridge reads");
    wait_for(&gateway, "connections", 2);
    gateway.assert_sound();
}

/// In 3.1.1 messages would come back for ever.
#[test]
fn rules_that_would_feed_each_other_are_not_used() {
    let (site, (old, port)) = (Site::new(), Old::listen());
    configure(&site, port, "filter = \"demo/#\"", "filter = \"demo/down/#\"");
    let mut gateway = Gateway::start(&site);
    for _ in 0..2 {
        old.accept(Version::V5).send_raw(&UNACCEPTABLE_VERSION).expect("the bridge reads");
    }
    assert!(gateway.log.wait_for_words("would feed each other", PATIENCE));
    gateway.assert_sound();
}
