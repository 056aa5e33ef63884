//! `kill -9` at any moment loses nothing that was acknowledged.
//!
//! `PORTCULLIS_CRASH_CYCLES=50 cargo test --release --test crash -- --nocapture` is the long run.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and figures are for people to read"
)]

use std::collections::BTreeSet;
use std::env;
use std::thread;
use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{
    Client, DEMO, Dice, Gateway, Options, PATIENCE, Publisher, Received, Site, Subscriber, collect,
    number,
};

/// Kills of a run, unless this says another number.
const CYCLES: &str = "PORTCULLIS_CRASH_CYCLES";
const CYCLES_DEFAULT: u64 = 8;

/// Messages of the publisher on their way at a time.
const WINDOW: usize = 64;

/// Room for all that a long run queues for the absent subscriber.
const ROOM: &str = r#"
[sessions]
max-queued-messages = 10000000
max-queued-bytes = "2 GiB"
[broker]
max-queued-bytes-total = "2 GiB"
"#;

/// How long the queue of the absent subscriber may pause before it counts as empty.
const QUIET: Duration = Duration::from_secs(3);

#[test]
fn at_qos_1_nothing_acknowledged_is_lost() {
    let run = crash(QoS::AtLeastOnce);
    run.print("qos=1");
    assert!(run.lost.is_empty(), "acknowledged and not delivered: {:?}", run.lost);
    assert!(run.in_order, "first deliveries are in the order of publishing");
}

#[test]
fn at_qos_2_everything_arrives_exactly_once() {
    let run = crash(QoS::ExactlyOnce);
    run.print("qos=2");
    assert!(run.lost.is_empty(), "acknowledged and not delivered: {:?}", run.lost);
    assert_eq!(run.duplicates, 0, "exactly once");
    assert!(run.in_order, "deliveries are in the order of publishing");
}

/// What came of a run.
struct Run {
    seed: u64,
    publisher: Publisher,
    delivered: usize,
    duplicates: usize,
    lost: Vec<u64>,
    in_order: bool,
    disk_bytes: u64,
}

impl Run {
    /// Compares what was promised with what arrived.
    fn judge(seed: u64, publisher: Publisher, numbers: &[u64], disk_bytes: u64) -> Self {
        let delivered: BTreeSet<u64> = numbers.iter().copied().collect();
        let mut seen = BTreeSet::new();
        let first: Vec<_> = numbers.iter().filter(|number| seen.insert(**number)).collect();
        Self {
            seed,
            delivered: delivered.len(),
            duplicates: numbers.len() - delivered.len(),
            lost: publisher.acknowledged.difference(&delivered).copied().collect(),
            in_order: first.is_sorted(),
            disk_bytes,
            publisher,
        }
    }

    fn print(&self, variant: &str) {
        let acknowledged = self.publisher.acknowledged.len();
        println!(
            "crash {variant} seed={} cycles={} acknowledged={acknowledged} delivered={} lost={} duplicates={} \
             sent_again={} in_order={} disk_bytes={} disk_bytes_per_message={}",
            self.seed,
            cycles(),
            self.delivered,
            self.lost.len(),
            self.duplicates,
            self.publisher.repeated,
            self.in_order,
            self.disk_bytes,
            self.disk_bytes / acknowledged.max(1) as u64,
        );
    }
}

/// Kills and starts the gateway under a publisher at full speed, with a subscriber that is away all the
/// time; in the end the publisher finishes and the subscriber returns.
fn crash(qos: QoS) -> Run {
    let site = Site::new();
    site.configure(ROOM);
    let mut disk_bytes = subscribe_and_leave(&site, qos);
    let seed = u64::from(std::process::id());
    let mut dice = Dice::new(seed);
    let mut publisher = Publisher::new("demo/crash", qos, WINDOW);
    for _ in 0..cycles() {
        let gateway = Gateway::start(&site);
        disk_bytes += under_fire(gateway, &mut publisher, dice.between(100, 700));
    }
    let mut gateway = Gateway::start(&site);
    finish(&site, &mut publisher);
    let numbers = collect(&mut back(&site), QUIET);
    gateway.assert_sound();
    Run::judge(seed, publisher, &numbers, disk_bytes)
}

/// Nobody kills any more: what is on its way gets through.
fn finish(site: &Site, publisher: &mut Publisher) {
    let mut client = publishing(site).connect();
    publisher.resume(&mut client).expect("the connection stays");
    let total = publisher.numbered();
    publisher.publish(&mut client, total).expect("the connection stays");
    assert_eq!(publisher.refused, [], "nothing was refused");
}

/// The absent subscriber comes back and finds its session.
fn back(site: &Site) -> Client {
    let (client, answer) = absent(site).try_connect().expect("a CONNACK");
    assert_eq!(answer, Received::ConnAck(ReasonCode::Success, true), "the session is still there");
    client
}

#[test]
fn a_subscriber_that_is_there_gets_everything_exactly_once() {
    let site = Site::new();
    site.configure(ROOM);
    let mut disk_bytes = subscribe_and_leave(&site, QoS::ExactlyOnce);
    let seed = u64::from(std::process::id());
    let mut dice = Dice::new(seed);
    let mut publisher = Publisher::new("demo/crash", QoS::ExactlyOnce, WINDOW);
    let mut subscriber = Subscriber::default();
    for _ in 0..cycles() {
        let gateway = Gateway::start(&site);
        let mut client = back(&site);
        disk_bytes += thread::scope(|scope| {
            let stream = scope.spawn(|| subscriber.receive(&mut client, PATIENCE));
            let disk_bytes = under_fire(gateway, &mut publisher, dice.between(100, 700));
            assert!(stream.join().expect("the subscriber does not fail").is_err(), "it is cut off");
            disk_bytes
        });
    }
    let mut gateway = Gateway::start(&site);
    finish(&site, &mut publisher);
    subscriber.receive(&mut back(&site), QUIET).expect("the connection stays");
    gateway.assert_sound();

    let run = Run::judge(seed, publisher, &subscriber.numbers, disk_bytes);
    run.print("online qos=2");
    assert!(run.lost.is_empty(), "acknowledged and not delivered: {:?}", run.lost);
    assert_eq!(run.duplicates, 0, "exactly once");
    assert!(run.in_order, "deliveries are in the order of publishing");
}

/// Publishes until the gateway is killed, which is `life` after the publisher was let in. Gives the bytes
/// that it wrote to disk.
fn under_fire(gateway: Gateway<'_>, publisher: &mut Publisher, life: u64) -> u64 {
    // Before the clock runs: a machine that is busy must not make every life end before it began.
    let mut client = publishing(gateway.site).connect();
    thread::scope(|scope| {
        let stream = scope.spawn(|| {
            let resumed = publisher.resume(&mut client);
            resumed.and_then(|()| publisher.publish(&mut client, u64::MAX))
        });
        thread::sleep(Duration::from_millis(life));
        let disk_bytes = gateway.kill();
        let end = stream.join().expect("the publisher does not fail");
        assert!(end.is_err(), "the connection breaks when the gateway is killed");
        disk_bytes
    })
}

fn publishing(site: &Site) -> Options {
    Options::new("publisher", site).user(DEMO, &site.password).plain().persistent()
}

fn absent(site: &Site) -> Options {
    Options::new("absent", site).user(DEMO, &site.password).plain().persistent()
}

/// A SUBACK is a promise as well: the gateway is killed as soon as it is there.
fn subscribe_and_leave(site: &Site, qos: QoS) -> u64 {
    let gateway = Gateway::start(site);
    let mut client = absent(site).connect();
    assert!(!client.subscribe("demo/crash", qos).is_error());
    gateway.kill()
}

#[test]
fn retained_messages_survive() {
    const TOPICS: u64 = 20;
    let site = Site::new();
    let mut dice = Dice::new(u64::from(std::process::id()));
    let mut publisher = Publisher::new("demo/state", QoS::AtLeastOnce, WINDOW).retained(TOPICS);
    let mut disk_bytes = 0;
    for _ in 0..cycles() {
        let gateway = Gateway::start(&site);
        disk_bytes += under_fire(gateway, &mut publisher, dice.between(100, 500));

        let mut gateway = Gateway::start(&site);
        let mut reader = gateway.options("reader").plain().connect();
        reader.subscribe("demo/state/+", QoS::AtLeastOnce);
        let mut last = [None; TOPICS as usize];
        while let Some(Received::Publish(message)) =
            reader.receive_within(Duration::from_millis(500))
        {
            assert!(message.retain, "{message:?}");
            reader.acknowledge(&message).expect("the connection is there");
            let number = number(&message.payload);
            last[(number % TOPICS) as usize] = Some(number);
        }
        for topic in 0..TOPICS {
            let promised = publisher.acknowledged.iter().rev().find(|n| *n % TOPICS == topic);
            let found = last[topic as usize];
            assert!(
                found.as_ref() >= promised,
                "topic {topic}: {promised:?} promised, {found:?} found"
            );
        }
        gateway.assert_sound();
        disk_bytes += gateway.kill();
    }
    let acknowledged = publisher.acknowledged.len();
    println!(
        "crash retained cycles={} topics={TOPICS} acknowledged={acknowledged} lost=0 \
         disk_bytes_per_message={}",
        cycles(),
        disk_bytes / acknowledged.max(1) as u64,
    );
}

#[test]
fn sessions_and_subscriptions_survive() {
    const CLIENTS: u64 = 6;
    let site = Site::new();
    let options = |number: u64| {
        let name = format!("client-{number}");
        Options::new(&name, &site).user(DEMO, &site.password).plain().persistent()
    };
    for number in 0..CLIENTS {
        let gateway = Gateway::start(&site);
        let mut client = options(number).connect();
        // Each has one that it keeps and, later, one that it gave up.
        assert!(!client.subscribe(&format!("demo/kept/{number}/+"), QoS::AtLeastOnce).is_error());
        gateway.kill();
    }
    let mut gateway = Gateway::start(&site);
    let counters = gateway.counters();
    assert_eq!((counters.get("sessions"), counters.get("subscriptions")), (CLIENTS, CLIENTS));
    let mut publisher = gateway.client("publisher");
    for number in 0..CLIENTS {
        let code = publisher.publish_and_wait(&format!("demo/kept/{number}/x"), b"news", false);
        assert_eq!(code, ReasonCode::Success);
    }
    for number in 0..CLIENTS {
        let (mut client, answer) = options(number).try_connect().expect("a CONNACK");
        assert_eq!(answer, Received::ConnAck(ReasonCode::Success, true), "client {number}");
        assert_eq!(client.message().topic, format!("demo/kept/{number}/x"));
    }
    println!("crash sessions kills={CLIENTS} sessions={CLIENTS} subscriptions={CLIENTS} lost=0");
    gateway.assert_sound();
}

fn cycles() -> u64 {
    match env::var(CYCLES) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{CYCLES}={text} is not a number")),
        Err(_) => CYCLES_DEFAULT,
    }
}
