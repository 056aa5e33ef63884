//! Enhanced authentication (MQTT 5.0, 4.12) over a socket: what CONNECT, AUTH and CONNACK say to each other.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

#[path = "../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use guest::{Fallback, Guest, TRAP, TWO_STEPS, allow};
use mqtt::{
    Auth, Connect, ConnectProperties, Decoded, Decoder, Disconnect, Packet, PacketId, Publish, QoS,
    ReasonCode, TopicName, Version,
};
use portcullis_tests::{Gateway, PATIENCE, Site, Wire, free_port};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A client that puts what it hears into words.
struct Peer {
    wire: Wire,
    decoder: Decoder,
    unread: Vec<u8>,
}

impl Peer {
    /// Says CONNECT with this method and, if there is any, this data.
    fn connect(port: u16, method: &str, data: Option<&[u8]>) -> Self {
        Self::saying(port, &connect(method, data, None))
    }

    fn saying(port: u16, first: &Packet<'_>) -> Self {
        let mut decoder = Decoder::new(u32::MAX);
        decoder.set_version(Version::V5);
        let wire = Wire::plain(port).expect("the gateway accepts connections");
        let mut peer = Self { wire, decoder, unread: Vec::new() };
        peer.say(first);
        peer
    }

    /// A client that is in after the two steps of the usual guest.
    fn admitted(port: u16) -> Self {
        let mut peer = Self::connect(port, "M", None);
        assert_eq!(peer.hear(), "auth 0x18 M ?");
        peer.answer("yes");
        assert_eq!(peer.hear(), "connack 0x00 M !");
        peer
    }

    fn say(&mut self, packet: &Packet<'_>) {
        let bytes = encoded(packet);
        self.wire.write_all(&bytes).expect("the gateway reads");
        self.wire.flush().expect("the gateway reads");
    }

    fn auth(&mut self, code: ReasonCode, method: &str, data: Option<&str>) {
        let data = data.map(str::as_bytes);
        self.say(&Packet::Auth(Auth { data, ..Auth::new(code, Some(method)) }));
    }

    fn answer(&mut self, data: &str) {
        self.auth(ReasonCode::ContinueAuthentication, "M", Some(data));
    }

    fn begin_again(&mut self) {
        self.auth(ReasonCode::ReAuthenticate, "M", None);
    }

    /// Publishes at QoS 1 to a topic that has no subscriber.
    fn publish(&mut self) {
        let topic = TopicName::new("t").expect("a topic");
        let packet_id = PacketId::new(1);
        let publish = Publish { qos: QoS::AtLeastOnce, packet_id, ..Publish::new(topic, b"x") };
        self.say(&Packet::Publish(publish));
    }

    fn hear(&mut self) -> String {
        self.wire.set_patience(PATIENCE);
        loop {
            match self.decoder.decode(&self.unread).expect("the gateway sends packets") {
                Decoded::Packet { packet, len } => {
                    let words = words(&packet);
                    self.unread.drain(..len);
                    return words;
                }
                Decoded::Incomplete { .. } => {}
            }
            let mut bytes = [0; 4096];
            match self.wire.read(&mut bytes).expect("the gateway answers") {
                0 => return "closed".to_owned(),
                read => self.unread.extend_from_slice(&bytes[..read]),
            }
        }
    }
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(Version::V5, &mut bytes).expect("a packet that can be sent");
    bytes
}

fn connect<'a>(method: &'a str, data: Option<&'a [u8]>, most: Option<u32>) -> Packet<'a> {
    Packet::Connect(Box::new(Connect {
        version: Version::V5,
        client_id: "c1",
        clean_start: true,
        keep_alive: 0,
        username: None,
        password: None,
        will: None,
        properties: ConnectProperties {
            authentication_method: Some(method).filter(|method| !method.is_empty()),
            authentication_data: data,
            maximum_packet_size: most,
            ..ConnectProperties::default()
        },
    }))
}

fn words(packet: &Packet<'_>) -> String {
    let said = |name: &str, code: ReasonCode, method: Option<&str>, data: Option<&[u8]>| {
        let data = data.map(String::from_utf8_lossy).unwrap_or_default();
        let text = format!("{name} {:#04x} {} {data}", code.as_u8(), method.unwrap_or_default());
        text.trim().to_owned()
    };
    match packet {
        Packet::ConnAck(connack) => {
            let properties = &connack.properties;
            let (method, data) = (properties.authentication_method, properties.authentication_data);
            said("connack", connack.code, method, data)
        }
        Packet::Auth(auth) => said("auth", auth.code, auth.method, auth.data),
        Packet::Disconnect(disconnect) => said("disconnect", disconnect.code, None, None),
        Packet::PubAck(ack) => said("puback", ack.code, None, None),
        Packet::PingResp => "pong".to_owned(),
        other => panic!("{other:?} was not expected"),
    }
}

/// A gateway on which each of these guests has a listener of its own, with the chain that is named.
fn configure<const N: usize>(site: &Site, guests: [(&str, Guest, &[&str]); N]) -> [u16; N] {
    let ports = [(); N].map(|()| free_port());
    let mut text = String::new();
    for ((name, guest, chain), port) in guests.iter().zip(ports) {
        let path = site.path(format!("extensions/{name}.wasm"));
        fs::write(&path, guest.build()).expect("the guest is written");
        text += &format!(
            r#"
[listeners.{name}]
bind = "127.0.0.1:{port}"
transport = "tcp"
connect-timeout = "{}s"
chain = {chain:?}
[extensions.{name}]
component = "extensions/{name}.wasm"
deadline.authenticate = "500ms"
"#,
            CONNECT_TIMEOUT.as_secs()
        );
    }
    site.configure(&text);
    ports
}

/// The guest that asks once and lets its clients do everything.
fn usual() -> Guest {
    Guest::enhanced(&["M"], TWO_STEPS).granting(&[allow("#")], Fallback::Deny)
}

#[test]
fn a_client_is_let_in_after_its_answer_to_a_challenge() {
    let site = Site::new();
    let [port] = configure(&site, [("usual", usual(), &["usual"])]);
    let mut gateway = Gateway::start_with(&site, 3);
    let mut peer = Peer::admitted(port);
    peer.publish();
    assert_eq!(peer.hear(), "puback 0x10");

    let mut wrong = Peer::connect(port, "M", Some(b"hello"));
    assert_eq!(wrong.hear(), "auth 0x18 M ?");
    wrong.answer("no");
    assert_eq!((wrong.hear(), wrong.hear()), ("connack 0x87".into(), "closed".into()));
    let refused = gateway.events(0, "client refused");
    assert!(refused[0]["decided_by"].as_str().is_some_and(|by| by.starts_with("usual@")));

    let mut unknown = Peer::connect(port, "m", None);
    assert_eq!((unknown.hear(), unknown.hear()), ("connack 0x8c".into(), "closed".into()));
    gateway.assert_sound();
}

#[test]
fn only_an_answer_to_the_challenge_is_taken_before_connack() {
    let site = Site::new();
    let [port] = configure(&site, [("usual", usual(), &["usual"])]);
    let mut gateway = Gateway::start_with(&site, 3);
    let auth = |code, method| Packet::Auth(Auth::new(code, Some(method)));
    let out_of_turn = [
        ("another method", auth(ReasonCode::ContinueAuthentication, "N")),
        ("a re-authentication", auth(ReasonCode::ReAuthenticate, "M")),
        ("a success", auth(ReasonCode::Success, "M")),
        ("another packet", Packet::PingReq),
        ("a second CONNECT", connect("M", None, None)),
    ];
    for (what, packet) in out_of_turn {
        let mut peer = Peer::connect(port, "M", None);
        assert_eq!(peer.hear(), "auth 0x18 M ?", "{what}");
        peer.say(&packet);
        assert_eq!((peer.hear(), peer.hear()), ("connack 0x82".into(), "closed".into()), "{what}");
    }
    let mut hasty = Peer::connect(port, "M", None);
    assert_eq!(hasty.hear(), "auth 0x18 M ?");
    let answer = Auth::new(ReasonCode::ContinueAuthentication, Some("M"));
    let answer = Packet::Auth(Auth { data: Some(b"yes"), ..answer });
    hasty.wire.write_all(&[encoded(&answer), vec![0xC0, 0]].concat()).expect("the gateway reads");
    assert_eq!((hasty.hear(), hasty.hear()), ("connack 0x82".into(), "closed".into()));

    let mut leaving = Peer::connect(port, "M", None);
    assert_eq!(leaving.hear(), "auth 0x18 M ?");
    leaving.say(&Packet::Disconnect(Disconnect::default()));
    assert_eq!(leaving.hear(), "closed");

    let mut small = Peer::saying(port, &connect("M", None, Some(8)));
    assert_eq!((small.hear(), small.hear()), ("connack 0x95".into(), "closed".into()));

    let began = Instant::now();
    let mut silent = Peer::connect(port, "M", None);
    assert_eq!(silent.hear(), "auth 0x18 M ?");
    assert_eq!((silent.hear(), silent.hear()), ("connack 0x87".into(), "closed".into()));
    assert!(began.elapsed() >= CONNECT_TIMEOUT, "it was given the time that the listener says");
    gateway.assert_sound();
}

#[test]
fn auth_is_for_clients_that_named_a_method() {
    let site = Site::new();
    let guest = usual().with_authenticate(guest::ACCEPT);
    let [port] = configure(&site, [("both", guest, &["both"])]);
    let mut gateway = Gateway::start_with(&site, 3);
    let mut peer = Peer::connect(port, "", None);
    assert_eq!(peer.hear(), "connack 0x00");
    peer.begin_again();
    assert_eq!((peer.hear(), peer.hear()), ("disconnect 0x82".into(), "closed".into()));
    gateway.assert_sound();
}

#[test]
fn a_connected_client_proves_again_who_it_is() {
    // Whoever authenticates again may do nothing from then on.
    let stricter = format!(
        "{TWO_STEPS} (if (i32.and (local.get $again) (i32.eqz (i32.load8_u (i32.const 1032)))) \
         (then (i32.store8 (i32.const 1056) (i32.const 1))))"
    );
    let stricter = Guest::enhanced(&["M"], &stricter).granting(&[allow("#")], Fallback::Deny);
    let site = Site::new();
    let [usual, strict] =
        configure(&site, [("usual", usual(), &["usual"]), ("strict", stricter, &["strict"])]);
    let mut gateway = Gateway::start_with(&site, 4);

    let mut peer = Peer::admitted(usual);
    for _ in 0..3 {
        peer.begin_again();
        // What comes between the steps is served as ever.
        peer.publish();
        assert_eq!((peer.hear(), peer.hear()), ("auth 0x18 M ?".into(), "puback 0x10".into()));
        peer.answer("yes");
        peer.say(&Packet::PingReq);
        assert_eq!((peer.hear(), peer.hear()), ("auth 0x00 M !".into(), "pong".into()));
    }
    assert_eq!(gateway.events(0, "client authenticated again").len(), 3);
    peer.begin_again();
    assert_eq!(peer.hear(), "auth 0x18 M ?");
    peer.answer("no");
    assert_eq!((peer.hear(), peer.hear()), ("disconnect 0x87".into(), "closed".into()));

    let mut peer = Peer::admitted(usual);
    peer.auth(ReasonCode::ReAuthenticate, "N", None);
    assert_eq!((peer.hear(), peer.hear()), ("disconnect 0x82".into(), "closed".into()));

    let mut peer = Peer::admitted(strict);
    peer.publish();
    assert_eq!(peer.hear(), "puback 0x10");
    peer.begin_again();
    assert_eq!(peer.hear(), "auth 0x18 M ?");
    peer.answer("yes");
    assert_eq!(peer.hear(), "auth 0x00 M !");
    peer.publish();
    assert_eq!(peer.hear(), "puback 0x87");
    gateway.assert_sound();
}

#[test]
fn what_was_said_of_a_client_does_not_outlast_its_authentication() {
    // Each verdict holds for an hour.
    let hour = "(i32.store8 (i32.const 1044) (i32.const 1)) (i32.store (i32.const 1048) (i32.const 3600000)) \
        (i32.store8 (i32.const 1064) (i32.const 2))";
    let guest = Guest::enhanced(&["M"], TWO_STEPS).granting(&[], Fallback::Ask);
    let site = Site::new();
    let [port] = configure(&site, [("asked", guest.authorize_publish(hour), &["asked"])]);
    let mut gateway = Gateway::start_with(&site, 3);
    let mut peer = Peer::admitted(port);
    let questions = |peer: &mut Peer| {
        let calls = || gateway.counters().of_extension("asked", "calls");
        let before = calls();
        peer.publish();
        assert_eq!(peer.hear(), "puback 0x10");
        calls() - before
    };
    assert_eq!([questions(&mut peer), questions(&mut peer)], [1, 0]);
    peer.begin_again();
    assert_eq!(peer.hear(), "auth 0x18 M ?");
    peer.answer("yes");
    assert_eq!(peer.hear(), "auth 0x00 M !");
    assert_eq!([questions(&mut peer), questions(&mut peer)], [1, 0]);
    gateway.assert_sound();
}

#[test]
fn whatever_is_no_clear_yes_refuses() {
    let abstains = Guest::enhanced(&["M"], guest::ABSTAIN);
    // Fails for clients that are in.
    let fragile = format!("(if (local.get $again) (then {TRAP})) {TWO_STEPS}");
    // Has never heard enough.
    let endless = "(i32.store8 (i32.const 1032) (i32.const 3))";
    let site = Site::new();
    let [second, alone, fragile, broken, endless] = configure(
        &site,
        [
            ("second", usual(), &["alone", "second"]),
            ("alone", abstains, &["alone"]),
            ("fragile", Guest::enhanced(&["M"], &fragile), &["fragile"]),
            ("broken", Guest::enhanced(&["M"], TRAP), &["broken"]),
            ("endless", Guest::enhanced(&["M"], endless), &["endless"]),
        ],
    );
    let mut gateway = Gateway::start_with(&site, 7);
    // The first of the chain abstains, so the second is asked.
    Peer::admitted(second).publish();
    for (port, code) in [(alone, "connack 0x87"), (broken, "connack 0x88")] {
        let mut peer = Peer::connect(port, "M", None);
        assert_eq!((peer.hear(), peer.hear()), (code.into(), "closed".into()));
    }
    let mut peer = Peer::admitted(fragile);
    peer.begin_again();
    assert_eq!((peer.hear(), peer.hear()), ("disconnect 0x89".into(), "closed".into()));

    let mut peer = Peer::connect(endless, "M", None);
    let mut steps = 1;
    while peer.hear() == "auth 0x18 M" {
        peer.answer("more");
        steps += 1;
    }
    assert_eq!((steps, peer.hear()), (17, "closed".into()));
    gateway.assert_sound();
}
