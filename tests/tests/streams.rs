//! Several streams in one QUIC connection, with the real gateway: EMQX's dialect, and streams in one direction.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use mqtt::{PacketKind, QoS, ReasonCode, Version};
use portcullis_tests::tools::Library;
use portcullis_tests::{
    Client, DEMO, Gateway, Latencies, Options, Received, Site, Wire, free_port,
};
use serde_json::{Value, json};

/// Long enough for what is not to come.
const SILENCE: Duration = Duration::from_millis(300);

fn options(gateway: &Gateway<'_>, client_id: &str, port: u16) -> Options {
    gateway.options(client_id).quic_at(port)
}

fn beside(client: &Client) -> Client {
    client.beside().expect("the gateway allows another stream")
}

fn reset(client: &mut Client) {
    let Wire::Quic(wire) = client.wire() else { panic!("it is QUIC") };
    wire.reset();
}

fn ack(client: &mut Client, kind: PacketKind, id: u16) {
    client.ack(kind, id).expect("the stream is there");
}

#[test]
fn answers_and_deliveries_come_where_they_belong() {
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    let mut control = options(&gateway, "several", port).connect();
    let (mut one, mut two) = (beside(&control), beside(&control));
    assert_eq!(one.subscribe("one/#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    assert_eq!(two.subscribe("two/#", QoS::ExactlyOnce), ReasonCode::GrantedQos2);
    assert_eq!(control.subscribe("zero/#", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    assert!(two.pings() && one.pings() && control.pings(), "each where it was asked");
    let mut publisher = gateway.client("publisher");
    for topic in ["one/x", "two/x", "zero/x"] {
        assert_eq!(publisher.publish_and_wait(topic, b"m", false), ReasonCode::Success);
    }
    assert_eq!(one.message().topic, "one/x");
    assert_eq!(two.message().topic, "two/x");
    assert_eq!(control.message().topic, "zero/x");
    // Both number their publishes from 1.
    assert_eq!(one.publish("nobody", b"1", QoS::AtLeastOnce, false), 2);
    assert_eq!(two.publish("nobody", b"2", QoS::AtLeastOnce, false), 2);
    for stream in [&mut two, &mut one] {
        let answer = stream.receive();
        assert!(matches!(answer, Received::Ack(PacketKind::PubAck, 2, _)), "{answer:?}");
    }
    assert!(control.receive_within(SILENCE).is_none(), "nothing of it is for the first stream");
    control.leave();
    gateway.assert_sound();
}

/// A client that subscribes on two streams and does not read the first.
#[test]
fn a_stream_that_is_not_read_does_not_delay_another() {
    const WINDOW: u32 = 16 << 10;
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    for (client_id, qos) in [("at-most-once", QoS::AtMostOnce), ("at-least-once", QoS::AtLeastOnce)]
    {
        let wire = Wire::quic_narrow(port, &site.ca(), WINDOW).expect("a connection");
        let options = options(&gateway, client_id, port);
        let control = options.persistent().connect_on(wire);
        let (mut slow, mut quick) = (beside(&control), beside(&control));
        let (slow_topic, quick_topic) = (format!("{client_id}/slow"), format!("{client_id}/quick"));
        slow.subscribe(&slow_topic, qos);
        quick.subscribe(&quick_topic, qos);
        let mut publisher = gateway.client("publisher");
        let before = round_trips(&mut publisher, &mut quick, &quick_topic, qos);
        let payload = vec![7; 2000];
        let stalled = 100_u32;
        for number in 0..stalled {
            let payload = [&number.to_be_bytes()[..], &payload].concat();
            publisher.publish(&slow_topic, &payload, qos, false);
        }
        let during = round_trips(&mut publisher, &mut quick, &quick_topic, qos);
        println!("{qos:?}, the other stream before: {before}; while one is not read: {during}");
        // What was kept for the stream is still there, in order and whole.
        for number in 0..stalled {
            let message = slow.message();
            assert_eq!(message.payload[..4], number.to_be_bytes(), "{qos:?}");
        }
    }
    gateway.assert_sound();
}

/// Sends a hundred messages, each after the one before has arrived; gives how long they took.
fn round_trips(from: &mut Client, to: &mut Client, topic: &str, qos: QoS) -> Latencies {
    let times = (0..100_u32).map(|number| {
        let began = Instant::now();
        from.publish(topic, &number.to_be_bytes(), qos, false);
        assert_eq!(to.message().payload, number.to_be_bytes());
        began.elapsed()
    });
    Latencies::new(times.collect())
}

/// Half a packet on one stream: what comes on another is handled all the same.
#[test]
fn a_stream_whose_bytes_are_missing_does_not_delay_another() {
    let (site, port) = Site::with_quic("");
    let gateway = Gateway::start_with(&site, 3);
    let mut control = options(&gateway, "halves", port).connect();
    let (mut stuck, mut other) = (beside(&control), beside(&control));
    stuck.send_raw(&[0x32, 100, 0, 1]).expect("it is sent");
    assert_eq!(other.publish_and_wait("t", b"x", false), ReasonCode::NoMatchingSubscribers);
    assert!(control.pings());
    let mut rest = vec![b't', 0, 9];
    rest.resize(98, 0);
    stuck.send_raw(&rest).expect("it is sent");
    assert!(matches!(stuck.receive(), Received::Ack(PacketKind::PubAck, 9, _)));
}

/// It would keep its buffer for as long as it liked.
#[test]
fn a_stream_whose_packet_does_not_come_whole_ends_the_connection_in_time() {
    let (site, port) = (Site::new(), free_port());
    site.rules("allow publish,subscribe * #\n");
    site.configure(&format!(
        "[listeners.quic]\nbind = \"127.0.0.1:{port}\"\ntransport = \"quic\"\npacket-timeout = \"1s\"\n\
         tls.cert = \"pki/server.pem\"\ntls.key = \"pki/server.key\"\nchain = [\"password\", \"acl\"]\n"
    ));
    let gateway = Gateway::start_with(&site, 3);
    let mut control = options(&gateway, "halves", port).connect();
    let mut stuck = beside(&control);
    stuck.send_raw(&[0x32, 100, 0, 1]).expect("it is sent");
    assert!(control.pings());
    assert_eq!(control.receive(), Received::Disconnect(ReasonCode::QuotaExceeded));
    gateway.wait_for("limit_packet_time", 1);
}

/// A stream is given up in the middle of flows of QoS 1 and 2 in both directions.
#[test]
fn nothing_is_lost_when_a_stream_goes_and_qos_2_comes_once() {
    const MESSAGES: u32 = 300;
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    let mut control = options(&gateway, "loses", port).persistent().connect();
    control.subscribe("flow/1", QoS::AtLeastOnce);
    control.subscribe("flow/2", QoS::ExactlyOnce);
    let mut publisher = gateway.client("publisher");
    let mut received: [BTreeMap<u32, u32>; 2] = Default::default();
    let mut seen = BTreeMap::new();
    let mut sides = 0;
    let mut side: Option<Client> = None;
    for number in 0..MESSAGES {
        if number % 50 == 0 {
            let mut fresh = beside(&control);
            // Messages may come before SUBACK.
            fresh.send_raw(b"\x82\x0C\x00\x01\x00\x00\x06flow/1\x01").expect("it is sent");
            fresh.send_raw(b"\x82\x0C\x00\x02\x00\x00\x06flow/2\x02").expect("it is sent");
            side = Some(fresh);
            sides += 1;
        }
        publisher.publish("flow/1", &number.to_be_bytes(), QoS::AtLeastOnce, false);
        publisher.publish("flow/2", &number.to_be_bytes(), QoS::ExactlyOnce, false);
        if let Some(stream) = side.as_mut() {
            // A few are left in every state: not read, read and not confirmed, released.
            for _ in 0..3 {
                handle(stream, &mut received, &mut seen, Duration::from_millis(1));
            }
        }
        if number % 50 == 25 {
            match (side.take(), number % 100) {
                (Some(mut stream), 25) => reset(&mut stream),
                (Some(mut stream), _) => stream.wire().hang_up(),
                (None, _) => {}
            }
        }
    }
    let mut streams: Vec<&mut Client> = side.iter_mut().collect();
    streams.push(&mut control);
    let whole = |received: &[BTreeMap<u32, u32>; 2]| {
        received.iter().all(|of| of.len() == MESSAGES as usize)
    };
    let until = Instant::now() + Duration::from_secs(30);
    while !whole(&received) {
        assert!(
            Instant::now() < until,
            "{} and {} of {MESSAGES}",
            received[0].len(),
            received[1].len()
        );
        for stream in &mut streams {
            handle(stream, &mut received, &mut seen, Duration::from_millis(5));
        }
    }
    assert!(received[1].values().all(|times| *times == 1), "exactly once: {:?}", received[1]);
    let twice = received[0].values().filter(|times| **times > 1).count();
    println!(
        "{MESSAGES} messages each of QoS 1 and 2 over {sides} streams, half of them given up: 0 lost, {twice} of QoS 1 twice, 0 of QoS 2"
    );
    gateway.assert_sound();
}

/// Handles the next packet of a stream as a client does that keeps the identifiers of QoS 2 in `seen`.
fn handle(
    stream: &mut Client,
    received: &mut [BTreeMap<u32, u32>; 2],
    seen: &mut BTreeMap<u16, ()>,
    patience: Duration,
) {
    match stream.receive_within(patience) {
        Some(Received::Publish(message)) => {
            let number = u32::from_be_bytes(message.payload.clone().try_into().expect("four"));
            if message.qos == QoS::AtLeastOnce {
                *received[0].entry(number).or_default() += 1;
                ack(stream, PacketKind::PubAck, message.id);
                return;
            }
            if seen.insert(message.id, ()).is_none() {
                *received[1].entry(number).or_default() += 1;
            }
            ack(stream, PacketKind::PubRec, message.id);
        }
        Some(Received::Ack(PacketKind::PubRel, id, _)) => {
            seen.remove(&id);
            ack(stream, PacketKind::PubComp, id);
        }
        Some(Received::SubAck(_) | Received::Closed) | None => {}
        Some(other) => panic!("{other:?}"),
    }
}

/// A client publishes with QoS 2 on a stream, which goes before it has heard of it; it does so again on another.
#[test]
fn a_publish_of_qos_2_that_is_repeated_on_another_stream_or_connection_is_passed_on_once() {
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    let mut watcher = gateway.client("watcher");
    watcher.subscribe("once", QoS::AtLeastOnce);
    let first = options(&gateway, "repeats", port).persistent().connect();
    let mut stream = beside(&first);
    assert_eq!(stream.publish("once", b"a", QoS::ExactlyOnce, false), 1);
    assert!(matches!(stream.receive(), Received::Ack(PacketKind::PubRec, 1, _)));
    reset(&mut stream);
    let mut again = beside(&first);
    // A new message with that number is refused, and not swallowed.
    assert_eq!(again.publish("once", b"b", QoS::ExactlyOnce, false), 1);
    let refused = again.receive();
    let in_use = Received::Ack(PacketKind::PubRec, 1, ReasonCode::PacketIdentifierInUse);
    assert_eq!(refused, in_use);
    again.send_raw(b"\x3C\x0A\x00\x04once\x00\x01\x00a").expect("it is sent");
    assert!(matches!(again.receive(), Received::Ack(PacketKind::PubRec, 1, ReasonCode::Success)));
    drop((again, first));
    let second = options(&gateway, "repeats", port).persistent().connect();
    let mut stream = beside(&second);
    stream.send_raw(b"\x3C\x0A\x00\x04once\x00\x01\x00a").expect("it is sent");
    assert!(matches!(stream.receive(), Received::Ack(PacketKind::PubRec, 1, ReasonCode::Success)));
    ack(&mut stream, PacketKind::PubRel, 1);
    assert!(matches!(stream.receive(), Received::Ack(PacketKind::PubComp, 1, _)));
    assert_eq!(&watcher.message().payload[..], b"a");
    let more = watcher.receive_within(SILENCE);
    assert!(more.is_none(), "once: {more:?}");
    gateway.assert_sound();
}

#[test]
fn the_same_identifier_on_two_streams_ends_a_connection_of_3_1_1() {
    let (site, port) = Site::with_quic("");
    let gateway = Gateway::start_with(&site, 3);
    let mut control = options(&gateway, "old", port).version(Version::V3_1_1).connect();
    let (mut one, mut two) = (beside(&control), beside(&control));
    one.publish("t", b"1", QoS::ExactlyOnce, false);
    assert!(matches!(one.receive(), Received::Ack(PacketKind::PubRec, 1, _)));
    two.publish("t", b"2", QoS::ExactlyOnce, false);
    assert!(control.wire().closes_within(Duration::from_secs(10)));
}

/// Streams that are opened, and written to, before the first has said who the client is.
#[test]
fn what_comes_before_connack_waits_for_it() {
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    let wire = Wire::quic(port, &site.ca(), None).expect("a connection");
    let mut control = Client::on(wire, Version::V5);
    let mut early = beside(&control);
    early.send_raw(b"\x82\x0B\x00\x01\x00\x00\x05early\x01").expect("it is sent");
    assert!(early.receive_within(SILENCE).is_none(), "nobody has said who it is");
    // More than one stream may hold of a client that nobody knows.
    let mut flood = beside(&control);
    let Wire::Quic(flooded) = flood.wire() else { panic!("it is QUIC") };
    flooded.write_all(&[0xC0, 0].repeat(4096)).expect("a window takes it");
    drop(flood);
    let wire = control.into_wire();
    control = options(&gateway, "hasty", port).connect_on(wire);
    assert_eq!(early.receive(), Received::SubAck(vec![ReasonCode::GrantedQos1]));
    assert_eq!(control.publish_and_wait("early", b"x", false), ReasonCode::Success);
    assert_eq!(&early.message().payload[..], b"x");
    gateway.assert_sound();
}

#[test]
fn no_more_streams_are_granted_than_configured() {
    let (site, port) = Site::with_quic("[listeners.quic.quic]\nmax-streams = 3\n");
    let mut gateway = Gateway::start_with(&site, 3);
    let mut control = options(&gateway, "greedy", port).connect();
    let Wire::Quic(wire) = control.wire() else { panic!("it is QUIC") };
    wire.set_patience(Duration::from_millis(500));
    let (mut one, mut two) = (beside(&control), beside(&control));
    assert!(one.pings() && two.pings());
    assert!(control.beside().is_err(), "there are three");
    let (a, b) = (control.one_way().expect("the first"), control.one_way().expect("the second"));
    assert!(control.one_way().is_err(), "there are two");
    // One that ends makes room for another.
    two.wire().hang_up();
    assert_eq!(two.receive(), Received::Closed);
    let mut three = beside(&control);
    assert!(three.pings());
    drop((a, b));
    gateway.assert_sound();
}

#[test]
fn one_stream_is_all_that_there_is_where_the_operator_says_so() {
    let (site, port) = Site::with_quic("[listeners.quic.quic]\nmax-streams = 1\n");
    let gateway = Gateway::start_with(&site, 3);
    let mut control = options(&gateway, "single", port).connect();
    let Wire::Quic(wire) = control.wire() else { panic!("it is QUIC") };
    wire.set_patience(Duration::from_millis(500));
    assert!(control.beside().is_err() && control.one_way().is_err());
    assert!(control.pings());
}

/// As the crate `mqtt5` does with its streams of data.
#[test]
fn what_comes_in_one_direction_is_answered_on_the_first_stream() {
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    let mut watcher = gateway.client("watcher");
    watcher.subscribe("uni", QoS::AtLeastOnce);
    let mut control = options(&gateway, "one-way", port).connect();
    for round in 0..20_u8 {
        // A stream a message, ended behind it.
        let mut stream = control.one_way().expect("the gateway allows one");
        stream.publish("uni", &[round], QoS::AtLeastOnce, false);
        stream.wire().hang_up();
        let answer = control.receive();
        assert!(matches!(answer, Received::Ack(PacketKind::PubAck, 1, _)), "{answer:?}");
        assert_eq!(watcher.message().payload, [round]);
    }
    let mut stream = control.one_way().expect("the gateway allows one");
    let id = stream.publish("uni", b"twice", QoS::ExactlyOnce, false);
    assert!(matches!(control.receive(), Received::Ack(PacketKind::PubRec, ..)));
    ack(&mut control, PacketKind::PubRel, id);
    assert!(matches!(control.receive(), Received::Ack(PacketKind::PubComp, ..)));
    assert_eq!(&watcher.message().payload[..], b"twice");
    gateway.assert_sound();
}

/// The client of the crate `mqtt5`, which publishes on a stream of its own for each message, or for each topic.
#[test]
fn a_client_of_mqtt5_publishes_on_streams_in_one_direction() {
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    let mut watcher = gateway.client("watcher");
    watcher.subscribe("mqtt5/#", QoS::AtMostOnce);
    let mut driver = Library::Mqtt5.start();
    for streams in ["single", "per-publish", "per-topic"] {
        let ca = std::fs::read_to_string(site.ca()).expect("the authority is readable");
        let mut ask = |words: Value| {
            let mut words = words.as_object().cloned().expect("an object");
            words.insert("client".to_owned(), streams.into());
            driver.ask(words).expect("the client does it")
        };
        let connected = ask(json!({
            "do": "connect", "id": streams, "quic": streams, "port": port, "ca": ca, "version": 5,
            "username": DEMO, "password": site.password,
        }));
        assert_eq!(connected["code"], 0, "{connected}");
        for (qos, topic) in [(0, "mqtt5/a"), (1, "mqtt5/b"), (2, "mqtt5/c"), (1, "mqtt5/b")] {
            let payload = format!("{streams} {qos}");
            let said =
                ask(json!({ "do": "publish", "topic": topic, "payload": payload, "qos": qos }));
            assert_eq!(said["code"], 0, "{said}");
            assert_eq!(watcher.message().payload, payload.as_bytes());
        }
        ask(json!({ "do": "disconnect" }));
    }
    gateway.assert_sound();
}

#[test]
fn what_is_wrong_on_one_stream_ends_the_connection() {
    let (site, port) = Site::with_quic("");
    let mut gateway = Gateway::start_with(&site, 3);
    let cases: [(&[u8], ReasonCode); 3] = [
        (&[0xE0, 0], ReasonCode::ProtocolError),
        (&[0xF0, 0], ReasonCode::ProtocolError),
        (&[0x06, 0], ReasonCode::MalformedPacket),
    ];
    for (bytes, code) in cases {
        let mut control = options(&gateway, "wrong", port).connect();
        let mut side = beside(&control);
        side.send_raw(bytes).expect("it is sent");
        assert_eq!(control.receive(), Received::Disconnect(code), "{bytes:?}");
        assert!(control.wire().closes_within(Duration::from_secs(10)));
    }
    gateway.assert_sound();
}

/// Only the other stream is used for longer than the Keep Alive allows on the first.
#[test]
fn whatever_comes_on_any_stream_keeps_the_connection_alive() {
    let (site, port) = Site::with_quic("");
    let gateway = Gateway::start_with(&site, 3);
    let mut control = options(&gateway, "alive", port).keep_alive(1).connect();
    let mut side = beside(&control);
    for _ in 0..6 {
        assert!(side.pings());
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(control.pings());
}
