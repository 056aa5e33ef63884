//! Small messages go together and compressed, and come out as they were.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{DEMO, Gateway, Options, Publisher, Received, Site, collect};

use crate::downstream::{
    counters, rules, to_gateway, wait_for, wait_until_connected, wait_until_empty,
};

const QUIET: Duration = Duration::from_secs(2);

const BATCH: &str = "batch.topic = \"demo/batch\"\nbatch.max-delay = \"50ms\"\n";

/// A bridge that packs what goes out below `demo/up`.
fn pack(site: &Site, upstream: &Site, more: &str, packing: &str) {
    let rule = format!("filter = \"demo/up/#\"\n{packing}");
    let bridge = to_gateway(site, "up", upstream, &format!("receive-maximum = 400\n{more}"));
    site.configure(&format!("{bridge}{}", rules("up", &[&rule], &[])));
}

#[test]
fn what_one_gateway_packs_another_unpacks_and_nothing_is_lost_in_between() {
    let (site, upstream, other) = (Site::new(), Site::new(), Site::new());
    pack(&site, &upstream, "", &format!("{BATCH}compress = \"deflate\"\n"));
    let unpacks = ["filter = \"demo/batch\"\nunbatch = true", "filter = \"demo/up/#\""];
    let bridge = to_gateway(&other, "up", &upstream, "");
    other.configure(&format!("{bridge}{}", rules("up", &[], &unpacks)));
    let there = Gateway::start(&upstream);
    let reading = Gateway::start(&other);
    wait_until_connected(&reading, 1);
    let reader = || Options::new("reader", &other).user(DEMO, &other.password).persistent();
    let mut kept = reader().connect();
    assert!(!kept.subscribe("demo/up/#", QoS::AtLeastOnce).is_error());
    drop(kept);
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut publisher = Publisher::new("demo/up/x", QoS::AtLeastOnce, 256);
    publisher.publish(&mut gateway.client("device"), 1500).expect("the connection stays");
    // What is on its way is cut off, here and there.
    there.kill();
    publisher.publish(&mut gateway.client("device"), 3000).expect("the connection stays");
    let batches = counters(&gateway)["batches"].as_u64().unwrap_or(0);
    assert!((1..750).contains(&batches), "{batches} batches");
    gateway.kill();
    let there = Gateway::start(&upstream);
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    wait_until_connected(&reading, 2);
    wait_until_empty(&gateway);
    let (mut kept, answer) = reader().try_connect().expect("a CONNACK");
    assert_eq!(answer, Received::ConnAck(ReasonCode::Success, true));
    let mut first_times: Vec<u64> = Vec::new();
    for number in collect(&mut kept, QUIET) {
        if !first_times.contains(&number) {
            first_times.push(number);
        }
    }
    assert_eq!(first_times, (0..3000).collect::<Vec<_>>(), "lost, or out of order");
    wait_for(&reading, "unpacked", 1);
    drop((there, gateway, reading));
}

#[test]
fn who_does_not_unpack_reads_what_the_manual_says() {
    let (site, upstream) = (Site::new(), Site::new());
    pack(&site, &upstream, "", BATCH);
    let there = Gateway::start(&upstream);
    let mut reader = there.client("reader");
    reader.subscribe("demo/#", QoS::AtLeastOnce);
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut device = gateway.client("device");
    for payload in [&b"1"[..], b"2"] {
        device.publish("demo/up/a", payload, QoS::AtMostOnce, false);
    }
    device.publish("demo/up/b", b"3", QoS::ExactlyOnce, false);
    let batch = reader.message();
    assert_eq!(batch.topic, "demo/batch");
    // PUBLISH, its length, the topic's length, the topic.
    assert_eq!(batch.payload.first(), Some(&0x30));
    assert_eq!(batch.payload.get(2..4), Some(&[0, 9][..]));
    assert_eq!(batch.payload.get(4..13), Some(&b"demo/up/a"[..]));
    assert_eq!(batch.payload.last(), Some(&b'2'));
    let single = reader.message();
    assert_eq!((&*single.topic, &*single.payload), ("demo/up/b", &b"3"[..]), "not at QoS 2");
}

/// Counts what passes between a bridge and its upstream.
struct Counting {
    port: u16,
    up: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Counting {
    fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it has one").port();
        let (up, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, over) = (Arc::clone(&up), Arc::clone(&ended));
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = TcpStream::connect((Ipv4Addr::LOCALHOST, to));
                let (false, Ok(far)) = (over.load(Ordering::Relaxed), far) else { return };
                let ways = [(&near, &far, Some(Arc::clone(&counter))), (&far, &near, None)];
                for (from, into, counter) in ways {
                    let (from, into) = (from.try_clone(), into.try_clone());
                    let (Ok(from), Ok(into)) = (from, into) else { return };
                    std::thread::spawn(move || carry(from, into, counter));
                }
            }
        });
        Self { port, up, ended }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the one that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn carry(mut from: TcpStream, mut into: TcpStream, counter: Option<Arc<AtomicU64>>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if let Some(counter) = &counter {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
        if into.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = into.shutdown(Shutdown::Write);
}

/// A value of a hundred bytes, as a meter sends it.
fn reading(number: u64) -> String {
    let noise =
        |span: u64| (number + 1).wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) % span;
    let (degrees, share, volts) = (1500 + noise(900), 3000 + noise(4000), 22_500 + noise(900));
    format!(
        "{{\"meter\":\"m-{:06}\",\"seq\":{},\"temperature\":{}.{:02},\"humidity\":{}.{:02},\"voltage\":{}.{:02},\"valid\":true}}",
        number % 20,
        number + 100_000,
        degrees / 100,
        degrees % 100,
        share / 100,
        share % 100,
        volts / 100,
        volts % 100
    )
}

/// Bytes that went to upstream over TLS for each of so many messages.
fn bytes_for_each((more, packing): (&str, &str), messages: u64) -> f64 {
    let (site, upstream) = (Site::new(), Site::new());
    let wire = Counting::start(upstream.tls);
    pack(&site, &upstream, more, packing);
    let text = std::fs::read_to_string(site.config()).expect("it is there");
    let (real, counted) = (upstream.tls.to_string(), wire.port.to_string());
    let text = text.replace(&format!("localhost:{real}"), &format!("localhost:{counted}"));
    std::fs::write(site.config(), text).expect("it is written");
    let there = Gateway::start(&upstream);
    let gateway = Gateway::start(&site);
    wait_until_connected(&gateway, 1);
    let mut device = gateway.client("device");
    let before = wire.up.load(Ordering::Relaxed);
    for number in 0..messages {
        let topic = format!("demo/up/meters/m-{:04}", number % 20);
        device.publish(&topic, reading(number).as_bytes(), QoS::AtLeastOnce, false);
        // As a site sends, and not as fast as it goes: a batch is what comes within its delay.
        if number % 100 == 99 {
            for _ in 0..100 {
                assert!(matches!(device.receive(), Received::Ack(..)), "it is acknowledged");
            }
        }
    }
    wait_for(&gateway, "confirmed", messages);
    let after = wire.up.load(Ordering::Relaxed);
    drop((gateway, there));
    (after - before) as f64 / messages as f64
}

#[test]
fn small_messages_take_a_fraction_of_the_bytes() {
    let messages = match std::env::var("PORTCULLIS_BRIDGE_MESSAGES") {
        Ok(number) => number.parse().expect("a number of messages"),
        Err(_) => 1000,
    };
    assert_eq!(reading(7).len(), 100, "{}", reading(7));
    let ways = [
        ("one by one, their topics in full", "topic-aliases = 0", String::new()),
        ("one by one", "", String::new()),
        ("in batches", "", BATCH.to_owned()),
        ("in compressed batches", "", format!("{BATCH}compress = \"deflate\"\n")),
    ];
    let figures =
        ways.map(|(name, more, packing)| (name, bytes_for_each((more, &packing), messages)));
    for (name, bytes) in &figures {
        println!("bridge: {messages} messages of 100 bytes {name}: {bytes:.1} bytes each over TLS");
    }
    let of = |at: usize| figures.get(at).map_or(0.0, |(_, bytes)| *bytes);
    assert!(of(1) > 130.0 && of(3) > 1.0, "there is something to measure: {figures:?}");
    assert!(of(1) < of(0) && of(2) < of(0) && of(3) < of(1) / 3.0, "{figures:?}");
}
