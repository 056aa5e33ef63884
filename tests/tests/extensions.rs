//! Extensions that are asked about every publish, and that are replaced while clients are connected.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

#[path = "../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use guest::{ACCEPT, Fallback, Guest, TRAP};
use mqtt::{Packet, PacketId, PacketKind, Publish, QoS, ReasonCode, TopicName, Version};
use portcullis_tests::{
    Client, Gateway, Latencies, Operator, PATIENCE, Received, Site, free_port, program,
};

/// Denies topics that begin with `x`.
const DENY_X: &str = "(if (i32.eq (i32.load8_u (local.get $topic)) (i32.const 120)) (then \
    (i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x87))))";

/// Questions after which an extension that answers quickly is asked on the connection's thread.
const WARM: usize = 60;

/// Lets everybody in, leaves subscriptions to rules, and publishes to `body`.
fn policy(body: &str) -> Guest {
    let subscribe = guest::Rule { actions: 2, ..guest::allow("#") };
    Guest::authenticator(ACCEPT).granting(&[subscribe], Fallback::Ask).authorize_publish(body)
}

/// A site with one more listener, whose chain is the extension `policy`.
fn site_with(policy: &Guest) -> (Site, u16) {
    site_with_more(policy, "")
}

/// As [`site_with`], with more lines about the extension.
fn site_with_more(policy: &Guest, more: &str) -> (Site, u16) {
    let (site, port) = (Site::new(), free_port());
    fs::write(site.path("policy.wasm"), policy.build()).expect("the component is written");
    configure(&site, port, more);
    (site, port)
}

fn configure(site: &Site, port: u16, more: &str) {
    site.configure(&format!(
        "[listeners.asked]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"policy\"]\n\
         [extensions.policy]\ncomponent = \"policy.wasm\"\n{more}"
    ));
}

/// Puts a component in the place of the one that is there, in one step.
fn put(site: &Site, component: &[u8]) {
    fs::write(site.path("policy.new"), component).expect("the component is written");
    fs::rename(site.path("policy.new"), site.path("policy.wasm")).expect("it is renamed");
}

/// The first event with this message that is logged after `mark`.
fn said(gateway: &Gateway<'_>, mark: usize, says: &str) -> serde_json::Value {
    let event = gateway.log.wait(mark, PATIENCE, |event| event["message"] == says);
    event.unwrap_or_else(|| panic!("{says}:\n{}", gateway.log.text()))
}

/// What PUBACK says to each of these publishes at QoS 1, sent in one piece.
fn answers(client: &mut Client, topics: &[&str], dup: bool) -> Vec<ReasonCode> {
    batch(client, topics, |_| dup)
}

/// As [`answers`], every other publish a repeat.
fn mixed_answers(client: &mut Client, topics: &[&str]) -> Vec<ReasonCode> {
    batch(client, topics, |id| id % 2 == 0)
}

fn batch(client: &mut Client, topics: &[&str], dup: impl Fn(u16) -> bool) -> Vec<ReasonCode> {
    let mut bytes = Vec::new();
    for (id, topic) in (1..).zip(topics) {
        let publish = Publish {
            qos: QoS::AtLeastOnce,
            dup: dup(id),
            packet_id: PacketId::new(id),
            ..Publish::new(TopicName::new(topic).expect("a topic"), b"asked")
        };
        Packet::Publish(publish).encode(Version::V5, &mut bytes).expect("a packet");
    }
    client.send_raw(&bytes).expect("the connection is there");
    (1..)
        .zip(topics)
        .map(|(expected, topic)| match client.receive() {
            Received::Ack(PacketKind::PubAck, id, code) if id == expected => code,
            other => panic!("{topic}: {other:?} instead of PUBACK {expected}"),
        })
        .collect()
}

#[test]
fn each_publish_of_a_batch_gets_its_own_answer_however_it_was_asked() {
    let (site, port) = site_with(&policy(DENY_X));
    let mut gateway = Gateway::start_with(&site, 3);
    let mut client = gateway.options("asked").plain_at(port).connect();
    let topics = ["a", "x/1", "b", "x/2", "x/3", "c"];
    let (yes, no) = (ReasonCode::NoMatchingSubscribers, ReasonCode::NotAuthorized);
    let right = [yes, no, yes, no, no, yes];
    let calls = |gateway: &Gateway<'_>| gateway.counters().of_extension("policy", "calls");
    for round in 0..WARM {
        let dup = round % 2 == 1;
        assert_eq!(answers(&mut client, &topics, dup), right, "round {round}, dup {dup}");
    }
    for dup in [false, true] {
        let before = calls(&gateway);
        assert_eq!(answers(&mut client, &topics, dup), right);
        assert_eq!(calls(&gateway) - before, topics.len() as u64, "each is asked about once");
    }
    let before = calls(&gateway);
    assert_eq!(mixed_answers(&mut client, &topics), right);
    assert_eq!(calls(&gateway) - before, topics.len() as u64, "repeats among them cost no more");
    gateway.assert_sound();
}

#[test]
fn questions_that_come_together_are_one_call_where_the_extension_takes_that() {
    for (component, calls_of_a_batch) in [("asked", 1), ("asked-singly", 6)] {
        let (site, port) = (Site::new(), free_port());
        fs::write(site.path("door.wasm"), Guest::authenticator(ACCEPT).build())
            .expect("the component is written");
        let asked = program().extensions.join(format!("{component}.wasm"));
        site.configure(&format!(
            "[listeners.asked]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"door\", \"asked\"]\n\
             [extensions.door]\ncomponent = \"door.wasm\"\n\
             [extensions.asked]\ncomponent = \"{}\"\ngrants = [\"config\", \"log\"]\n\
             [extensions.asked.config]\nprefix = \"in\"\nremember-ms = \"0\"\n",
            asked.display()
        ));
        let mut gateway = Gateway::start_with(&site, 3);
        let mut client = gateway.options("asked").plain_at(port).connect();
        let topics = ["in/a", "out/1", "in/b", "out/2", "out/3", "in/c"];
        let (yes, no) = (ReasonCode::NoMatchingSubscribers, ReasonCode::NotAuthorized);
        let right = [yes, no, yes, no, no, yes];
        for round in 0..WARM {
            assert_eq!(answers(&mut client, &topics, false), right, "{component}, round {round}");
        }
        let calls = |gateway: &Gateway<'_>| gateway.counters().of_extension("asked", "calls");
        let mut calls_for = |topics: &[&str], right: &[ReasonCode]| {
            let before = calls(&gateway);
            assert_eq!(answers(&mut client, topics, false), right, "{component}");
            calls(&gateway) - before
        };
        // Where the machine had others to serve meanwhile, the guest is slow for a while and is asked as ever.
        assert!((0..WARM).any(|_| calls_for(&topics, &right) == calls_of_a_batch), "{component}");
        assert_eq!(
            calls_for(&topics[..1], &right[..1]),
            1,
            "{component}: one alone is asked as ever"
        );
        let many: Vec<_> = topics.iter().copied().cycle().take(150).collect();
        let rights: Vec<_> = right.iter().copied().cycle().take(150).collect();
        let in_few = (0..10).any(|_| calls_for(&many, &rights) < 100);
        assert_eq!(in_few, calls_of_a_batch == 1, "{component}");
        gateway.assert_sound();
    }
}

#[test]
fn a_verdict_that_holds_is_not_asked_for_again() {
    // For an hour, up to QoS 1 and without RETAIN.
    let hour = "(i32.store8 (i32.const 1044) (i32.const 1)) (i32.store (i32.const 1048) (i32.const 3600000)) \
        (i32.store8 (i32.const 1064) (i32.const 1))";
    let (site, port) = site_with(&policy(&format!("{DENY_X} {hour}")));
    let mut gateway = Gateway::start_with(&site, 3);
    let mut client = gateway.options("remembered").plain_at(port).connect();
    let (yes, no) = (ReasonCode::NoMatchingSubscribers, ReasonCode::NotAuthorized);
    for _ in 0..WARM {
        assert_eq!(answers(&mut client, &["a", "x", "a"], false), [yes, no, yes]);
    }
    let calls = |gateway: &Gateway<'_>| gateway.counters().of_extension("policy", "calls");
    // One for each hook of CONNECT, one for each topic.
    assert_eq!(calls(&gateway), 4);
    assert_eq!(client.publish_and_wait("a", b"", true), yes);
    assert_eq!(calls(&gateway), 5, "with RETAIN it is another question");

    // Another version may think otherwise.
    let other = policy(
        "(i32.store8 (i32.const 1028) (i32.const 1)) (i32.store8 (i32.const 1029) (i32.const 0x87))",
    );
    fs::write(site.path("policy.wasm"), other.build()).expect("the component is written");
    gateway.reload();
    assert_eq!(client.publish_and_wait("a", b"", false), no);
    gateway.assert_sound();
}

/// Clients that send to themselves, and new components between them.
const CLIENTS: usize = 16;
const SWAPS: u8 = 12;

#[test]
fn components_are_replaced_and_no_client_notices() {
    let (site, port) = site_with(&policy(""));
    let mut gateway = Gateway::start_with(&site, 3);
    let stop = AtomicBool::new(false);
    let (latencies, rounds) = thread::scope(|scope| {
        let _ended = Ended(&stop);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let mut client = gateway.options(&format!("c{n}")).plain_at(port).connect();
                let stop = &stop;
                scope.spawn(move || round_trips(&mut client, &format!("loop/{n}"), stop))
            })
            .collect();
        for swap in 0..SWAPS {
            println!("swap {swap}: {}", replace(&gateway, &site, swap));
            let newcomer = gateway.options(&format!("new{swap}")).plain_at(port);
            assert!(newcomer.connect().pings(), "swap {swap}");
        }
        stop.store(true, Ordering::Relaxed);
        let times: Vec<Vec<Duration>> =
            clients.into_iter().map(|client| client.join().expect("a client")).collect();
        let rounds = times.iter().map(Vec::len).min().unwrap_or_default();
        (Latencies::new(times.concat()), rounds)
    });
    assert!(rounds > usize::from(SWAPS), "every client went on: {rounds}");
    println!("swap clients={CLIENTS} swaps={SWAPS} {latencies}");
    let rolled_back = gateway.counters().of_extension("policy", "rolled_back");
    assert_eq!(rolled_back, u64::from(SWAPS).div_ceil(4), "each that trapped");
    gateway.assert_sound();
}

#[test]
fn a_component_that_is_watched_is_loaded_when_its_file_changes() {
    let (site, port) = site_with_more(&policy(""), "watch = true\n");
    let mut gateway = Gateway::start_with(&site, 3);
    let mut client = gateway.options("device").plain_at(port).connect();
    assert_eq!(client.publish_and_wait("x", b"", false), ReasonCode::NoMatchingSubscribers);
    let mark = gateway.log.mark();
    put(&site, &policy(DENY_X).build());
    let event = said(&gateway, mark, "files of the extension have changed");
    assert_eq!(event["outcome"], "introduced", "{event}");
    assert_eq!(client.publish_and_wait("x", b"", false), ReasonCode::NotAuthorized);
    // What is no component changes nothing, and is tried once.
    let mark = gateway.log.mark();
    put(&site, b"no component");
    let failed = "files of the extension have changed and cannot be loaded; it goes on as it is";
    said(&gateway, mark, failed);
    assert_eq!(client.publish_and_wait("x", b"", false), ReasonCode::NotAuthorized);
    // A version that is tried beside is not disturbed.
    put(&site, &policy("").build());
    let operator = Operator::of(&site);
    operator.says(&["extension", "reload", "policy", "--mode", "shadow"]);
    let mark = gateway.log.mark();
    put(&site, &policy(TRAP).build());
    let event = gateway.log.wait(mark, PATIENCE, |event| {
        event["message"].as_str().is_some_and(|text| text.contains("tried beside it"))
    });
    assert!(event.is_some(), "{}", gateway.log.text());
    assert_eq!(client.publish_and_wait("x", b"", false), ReasonCode::NotAuthorized);
    assert_eq!(gateway.log.events(mark, failed).len(), 0);
    assert!(client.pings());
    gateway.assert_sound();
}

/// Nobody looks at files while there is nothing to follow, so that has to begin when there is.
#[test]
fn watching_begins_and_ends_with_a_reload() {
    const CHANGED: &str = "files of the extension have changed";
    let (site, port) = site_with(&policy(""));
    let mut gateway = Gateway::start_with(&site, 3);
    configure(&site, port, "watch = true\n");
    gateway.reload();
    let mark = gateway.log.mark();
    put(&site, &policy(DENY_X).build());
    said(&gateway, mark, CHANGED);
    configure(&site, port, "");
    gateway.reload();
    let mark = gateway.log.mark();
    put(&site, &policy("").build());
    // Two looks and more.
    thread::sleep(Duration::from_secs(6));
    assert_eq!(gateway.log.events(mark, CHANGED).len(), 0);
    let mut client = gateway.options("device").plain_at(port).connect();
    assert_eq!(client.publish_and_wait("x", b"", false), ReasonCode::NotAuthorized);
    gateway.assert_sound();
}

/// Says stop at the end, also at that of a test that fails: its clients would go on for ever.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Puts another component in place: one that traps, a good one, one that cannot start, or none at all. Answers with
/// what the gateway says of it.
fn replace(gateway: &Gateway<'_>, site: &Site, swap: u8) -> serde_json::Value {
    let mut good = policy("");
    good.put(&[swap]);
    let (component, says) = match swap % 4 {
        0 => (policy(TRAP).build(), "extension version rolled back"),
        1 => (good.build(), "extension swapped"),
        2 => (good.init(TRAP).build(), "extension not reloaded; it goes on as it is"),
        _ => (b"no component".to_vec(), "extension not reloaded; it goes on as it is"),
    };
    let mark = gateway.log.mark();
    fs::write(site.path("policy.wasm"), component).expect("the component is written");
    gateway.reload();
    said(gateway, mark, says)
}

/// QoS 1 to itself and back, numbered, until it is told to stop.
fn round_trips(client: &mut Client, topic: &str, stop: &AtomicBool) -> Vec<Duration> {
    assert!(!client.subscribe(topic, QoS::AtLeastOnce).is_error());
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let (number, sent) = (times.len().to_string(), Instant::now());
        client.publish(topic, number.as_bytes(), QoS::AtLeastOnce, false);
        let (mut arrived, mut acknowledged) = (false, false);
        while !(arrived && acknowledged) {
            match client.receive() {
                Received::Publish(message) => {
                    assert_eq!(message.payload, number.as_bytes(), "{topic}: in order, each once");
                    client.acknowledge(&message).expect("the connection is there");
                    arrived = true;
                }
                Received::Ack(PacketKind::PubAck, _, ReasonCode::Success) => acknowledged = true,
                other => panic!("{topic}: {other:?} in round {number}"),
            }
        }
        times.push(sent.elapsed());
        thread::sleep(Duration::from_millis(2));
    }
    times
}
