//! Bytes that no client should send cost their sender the connection, and nobody else anything.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and figures are for people to read"
)]

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{QoS, ReasonCode, Version};
use portcullis_tests::{Client, Dice, Gateway, Options, PATIENCE, Received, Site, Wire, free_port};

/// Within this the gateway has closed a connection that it does not want.
const PROMPT: Duration = Duration::from_secs(5);

/// Runs `abuse` while another client sends itself messages, which must all arrive, and checks that the
/// gateway is as it was.
fn beside_a_witness(site: &Site, listeners: usize, abuse: impl FnOnce(&Gateway<'_>)) {
    let mut gateway = Gateway::start_with(site, listeners);
    let mut witness = gateway.client("witness");
    witness.subscribe("demo/witness", QoS::AtMostOnce);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut count = 0;
            let mut longest = Duration::ZERO;
            loop {
                let over = stop.load(Ordering::Relaxed);
                let sent = Instant::now();
                witness.publish("demo/witness", b"still here", QoS::AtMostOnce, false);
                assert_eq!(witness.message().payload, b"still here");
                longest = longest.max(sent.elapsed());
                count += 1;
                // The last round begins after the abuse.
                if over {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
            (count, longest)
        });
        // The witness is to stop when the abuse fails, too.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| abuse(&gateway)));
        stop.store(true, Ordering::Relaxed);
        let (count, longest) = others.join().expect("the witness is served all the time");
        if let Err(failure) = outcome {
            std::panic::resume_unwind(failure);
        }
        println!("abuse witness messages={count} longest_us={}", longest.as_micros());
        assert!(longest < PROMPT, "the witness waited {longest:?}");
    });
    gateway.assert_sound();
}

#[test]
fn what_is_not_mqtt_is_cut_off() {
    let before_connect: [(&str, &[u8]); 8] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("a packet before CONNECT", &[0xC0, 0]),
        ("reserved packet type", &[0x00, 0]),
        ("a length of five bytes", &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("a CONNECT of 256 MiB", &[0x10, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("another protocol", &[0x10, 10, 0, 4, b'H', b'T', b'T', b'P', 4, 2, 0, 10]),
        ("CONNECT without its end", &[0x10, 5, 0, 4, b'M', b'Q', b'T']),
        ("reserved flag", &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 3, 0, 10, 0, 0]),
    ];
    let site = Site::new();
    beside_a_witness(&site, 2, |gateway| {
        for (what, bytes) in before_connect {
            for mut wire in [gateway.plain(), gateway.tls()] {
                wire.write_all(bytes).expect("the gateway reads");
                assert!(wire.closes_within(PROMPT), "{what} is not cut off");
            }
        }
        // A CONNECT of 256 MiB again, but of MQTT 5, and in two pieces.
        for mut wire in [gateway.plain(), gateway.tls()] {
            wire.write_all(&[0x10, 0xFF, 0xFF]).expect("the gateway reads");
            thread::sleep(Duration::from_millis(50));
            wire.write_all(&[0xFF, 0x7F, 0]).expect("the gateway reads");
            thread::sleep(Duration::from_millis(50));
            wire.write_all(b"\x04MQTT\x05\x02\0\x0A").expect("the gateway reads");
            let mut said = [0; 5];
            wire.read_exact(&mut said).expect("a CONNACK");
            assert_eq!(said, [0x20, 3, 0, 0x95, 0]);
            assert!(wire.closes_within(PROMPT));
        }
        // Code 1 to a level that is not spoken (3.1.1, 3.1.2.2); 5.0 has 0x84.
        // An unknown one is answered as the form of its CONNECT, with or without properties, asks.
        let old = [&[0x20, 2, 0, 1][..], &[0, 0]];
        let new = [&[0x20, 3, 0, 0x84, 0][..], &[0, 0, 0]];
        for (level, [answer, rest]) in [(3, old), (6, old), (6, new)] {
            for mut wire in [gateway.plain(), gateway.tls()] {
                let begin = [0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 10];
                let length = (begin.len() + rest.len()) as u8;
                let connect = [&[0x10, length][..], &begin, rest].concat();
                wire.write_all(&connect).expect("the gateway reads");
                let mut said = vec![0; answer.len()];
                wire.read_exact(&mut said).expect("a CONNACK");
                assert_eq!(said, answer, "level {level}");
                assert!(wire.closes_within(PROMPT));
            }
        }
    });
}

#[test]
fn a_client_that_breaks_the_rules_is_told_and_cut_off() {
    let cases: [(&str, &[u8], ReasonCode); 7] = [
        ("a second CONNECT", CONNECT, ReasonCode::ProtocolError),
        ("QoS 3", &[0x36, 6, 0, 1, b'a', 0, 1, 0], ReasonCode::MalformedPacket),
        ("a topic that is not UTF-8", &[0x30, 5, 0, 1, 0xFF, 0, b'x'], ReasonCode::MalformedPacket),
        ("a topic with a wildcard", &[0x30, 5, 0, 1, b'#', 0, b'x'], ReasonCode::MalformedPacket),
        ("SUBSCRIBE to nothing", &[0x82, 3, 0, 1, 0], ReasonCode::ProtocolError),
        ("SUBSCRIBE with flags 0", &[0x80, 7, 0, 1, 0, 0, 1, b'a', 0], ReasonCode::MalformedPacket),
        ("a packet from the server", &[0xD0, 0], ReasonCode::ProtocolError),
    ];
    let site = Site::new();
    site.configure("[sessions]\nmax-packet-size = \"4 KiB\"\n");
    beside_a_witness(&site, 2, |gateway| {
        for (what, bytes, code) in cases {
            breaks_off(gateway.client("rude"), what, bytes, Some(code));
            let old = gateway.options("rude").version(Version::V3_1_1).connect();
            // 3.1.1 has no way to say why.
            breaks_off(old, what, bytes, None);
        }
        // The header of a packet that is too large is enough: nobody waits for the rest.
        let header = [0x30, 0x81, 0x20];
        breaks_off(gateway.client("large"), "size", &header, Some(ReasonCode::PacketTooLarge));
        assert_eq!(gateway.counters().get("limit_packet_size"), 1);
    });
}

/// CONNECT of MQTT 3.1.1 without anything.
const CONNECT: &[u8] = &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 10, 0, 0];

fn breaks_off(mut client: Client, what: &str, bytes: &[u8], code: Option<ReasonCode>) {
    client.send_raw(bytes).expect("the gateway reads");
    if let Some(code) = code {
        assert_eq!(client.receive(), Received::Disconnect(code), "{what}");
    }
    assert_eq!(client.receive(), Received::Closed, "{what}");
}

#[test]
fn whoever_is_slow_to_connect_is_cut_off() {
    let site = Site::new();
    let port = free_port();
    site.configure(&format!(
        r#"[extensions.password.deadline]
authenticate = "500ms"
[extensions.acl.deadline]
authenticate = "500ms"
[listeners.slow]
bind = "127.0.0.1:{port}"
transport = "tcp"
chain = ["password", "acl"]
connect-timeout = "2s"
"#
    ));
    beside_a_witness(&site, 3, |_| {
        let begin = Instant::now();
        let silent: Vec<_> = (0..50).map(|_| Wire::plain(port).expect("a connection")).collect();
        let mut drip = Wire::plain(port).expect("a connection");
        let mut bytes = CONNECT.iter();
        while begin.elapsed() < Duration::from_millis(1500) {
            // A byte now and then is no reason to wait longer.
            drip.write_all(&[*bytes.next().unwrap_or(&0)]).expect("it is not over yet");
            thread::sleep(Duration::from_millis(300));
        }
        for mut wire in silent.into_iter().chain([drip]) {
            assert!(wire.closes_within(PROMPT), "a connection without CONNECT stays open");
        }
        let took = begin.elapsed();
        println!("abuse slow_connect connections=51 closed_after_ms={}", took.as_millis());
        assert!(took >= Duration::from_secs(2), "they had their time: {took:?}");
    });
}

#[test]
fn garbage_on_the_tls_port_is_cut_off() {
    let site = Site::new();
    let mut dice = Dice::new(7);
    beside_a_witness(&site, 2, |gateway| {
        for _ in 0..50 {
            let mut wire = Wire::plain(gateway.site.tls).expect("a connection");
            let mut bytes: Vec<u8> = (0..200).map(|_| dice.between(0, 255) as u8).collect();
            // Not the beginning of a long record, for which the gateway would rightly wait.
            bytes[0] |= 0x80;
            // The gateway may close while this is sent.
            let _ = wire.write_all(&bytes);
            assert!(wire.closes_within(PROMPT), "garbage is not cut off");
        }
        let mut wire = Wire::plain(gateway.site.tls).expect("a connection");
        wire.write_all(CONNECT).expect("the gateway reads");
        assert!(wire.closes_within(PROMPT), "MQTT without TLS is not cut off");
    });
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    /// What an allocator may keep, in KiB.
    const KEPT_KIB: u64 = 24 * 1024;
    let site = Site::new();
    beside_a_witness(&site, 2, |gateway| {
        come_and_go(gateway, 100);
        let before = gateway.meter().resident_kib();
        come_and_go(gateway, 1000);
        settle(gateway);
        let after = gateway.meter().resident_kib();
        println!("abuse connections=1000 resident_kib_before={before} resident_kib_after={after}");
        assert!(after < before + KEPT_KIB, "{before} KiB before, {after} KiB after");
    });
}

/// Connections that end in every way and place.
fn come_and_go(gateway: &Gateway<'_>, count: usize) {
    for number in 0..count {
        match number % 4 {
            0 => drop(gateway.plain()),
            1 => {
                let mut wire = gateway.plain();
                wire.write_all(&CONNECT[..number % CONNECT.len()]).expect("the gateway reads");
            }
            2 => {
                let mut wire = Wire::plain(gateway.site.tls).expect("a connection");
                wire.write_all(&[22, 3, 1, 2, 0]).expect("the gateway reads");
            }
            _ => {
                // No credentials: a refusal that costs no password hash.
                let name = format!("passer-by-{number}");
                let (_, answer) = Options::new(&name, gateway.site)
                    .plain()
                    .try_connect()
                    .expect("the gateway accepts connections");
                assert_eq!(answer, Received::ConnAck(ReasonCode::NotAuthorized, false));
            }
        }
    }
}

/// Waits until only the witness is in.
fn settle(gateway: &Gateway<'_>) {
    let until = Instant::now() + PATIENCE;
    while gateway.counters().get("clients_connected") != 1 {
        assert!(Instant::now() < until, "clients stay: {:?}", gateway.counters());
        thread::sleep(Duration::from_millis(50));
    }
}
