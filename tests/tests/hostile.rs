//! An extension that misbehaves costs its own caller a refusal, and nobody else anything.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

#[path = "../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use guest::{ACCEPT, ENDLESS, Guest, HOG, TRAP, provoked};
use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Client, Gateway, Latencies, PATIENCE, Received, Site, free_port};

/// Time of the guests for a call.
const DEADLINE: Duration = Duration::from_millis(500);

/// What a busy machine may take for a refusal besides.
const SLACK: Duration = Duration::from_secs(2);

/// How long latencies are measured, before and during.
const MEASURED: Duration = Duration::from_secs(4);

/// Between two provocations of a guest: what is measured is the guests, not a flood of connections.
const PAUSE: Duration = Duration::from_millis(20);

/// What each guest does when a client identifier begins with `!`.
const GUESTS: [(&str, &str); 3] = [("endless", ENDLESS), ("hog", HOG), ("trap", TRAP)];

#[test]
fn only_the_caller_pays_for_a_guest_that_misbehaves() {
    let site = Site::new();
    let ports = GUESTS.map(|_| free_port());
    site.configure(&configuration(&site, ports));
    let mut gateway = Gateway::start_with(&site, 2 + GUESTS.len());

    for ((name, _), port) in GUESTS.into_iter().zip(ports) {
        accepts(&gateway, port, "before");
        let (answer, took) = provoke(&gateway, port);
        assert_eq!(answer, ReasonCode::ServerUnavailable, "{name}");
        assert!(took < DEADLINE + SLACK, "{name} took {took:?}");
        accepts(&gateway, port, "after");
        let refusals = gateway.events(0, "client refused");
        let by = format!("{name}@");
        let line = refusals
            .iter()
            .find(|line| line["decided_by"].as_str().is_some_and(|text| text.starts_with(&by)));
        println!(
            "hostile guest={name} refused_after_ms={} log={}",
            took.as_millis(),
            line.expect("a line")
        );
    }
    let counters = gateway.counters();
    assert_eq!(counters.of_extension("endless", "deadline_exceeded"), 1);
    assert_eq!(counters.of_extension("hog", "memory_refused"), 1);
    assert_eq!(counters.of_extension("trap", "traps"), 1);
    gateway.assert_sound();
}

#[test]
fn the_traffic_of_others_goes_on() {
    let site = Site::new();
    let ports = GUESTS.map(|_| free_port());
    site.configure(&configuration(&site, ports));
    let mut gateway = Gateway::start_with(&site, 2 + GUESTS.len());
    let mut client = gateway.options("traffic").connect();
    client.subscribe("demo/loop", QoS::AtLeastOnce);

    let before = round_trips(&mut client);
    let (stop, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let during = thread::scope(|scope| {
        for port in ports {
            let (gateway, stop, refused) = (&gateway, &stop, &refused);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let (code, took) = provoke(gateway, port);
                    assert!(code.is_error() && took < DEADLINE + SLACK, "{code:?} after {took:?}");
                    refused.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(PAUSE);
                }
            });
        }
        let during = round_trips(&mut client);
        stop.store(true, Ordering::Relaxed);
        during
    });
    println!("hostile bystander=before {before}");
    println!("hostile bystander=during {during} refused={}", refused.load(Ordering::Relaxed));
    assert!(during.percentile(99) < DEADLINE, "nobody waits for the guests of others: {during}");
    assert!(refused.load(Ordering::Relaxed) >= GUESTS.len(), "the guests were provoked");
    gateway.assert_sound();
}

/// QoS 1 to itself and back, over TLS, one at a time.
fn round_trips(client: &mut Client) -> Latencies {
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed() < MEASURED {
        let sent = Instant::now();
        client.publish("demo/loop", b"round", QoS::AtLeastOnce, false);
        let (mut arrived, mut acknowledged) = (false, false);
        while !(arrived && acknowledged) {
            match client.receive() {
                Received::Publish(message) => {
                    times.push(sent.elapsed());
                    client.acknowledge(&message).expect("the connection is there");
                    arrived = true;
                }
                Received::Ack(_, _, ReasonCode::Success) => acknowledged = true,
                other => panic!("{other:?} for a client that sends to itself"),
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    Latencies::new(times)
}

/// Has the guest misbehave; gives what CONNACK says and how long it took.
fn provoke(gateway: &Gateway<'_>, port: u16) -> (ReasonCode, Duration) {
    let begin = Instant::now();
    let (_, answer) = gateway.options("!").plain_at(port).try_connect().expect("a CONNACK");
    match answer {
        Received::ConnAck(code, _) => (code, begin.elapsed()),
        other => panic!("{other:?} instead of CONNACK"),
    }
}

fn accepts(gateway: &Gateway<'_>, port: u16, when: &str) {
    let mut client = gateway.options(when).plain_at(port).connect();
    assert!(client.pings(), "{when}");
}

/// A listener and an extension for each guest.
fn configuration(site: &Site, ports: [u16; GUESTS.len()]) -> String {
    let mut text = String::new();
    for ((name, body), port) in GUESTS.into_iter().zip(ports) {
        let component = Guest::authenticator(&provoked(body, ACCEPT)).build();
        fs::write(site.path(format!("{name}.wasm")), component).expect("the component is written");
        text += &format!(
            "[listeners.{name}]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"{name}\", \"acl\"]\n\
             [extensions.{name}]\ncomponent = \"{name}.wasm\"\nmemory = \"8 MiB\"\n\
             deadline.authenticate = \"{}ms\"\n",
            DEADLINE.as_millis(),
        );
    }
    text
}

#[test]
fn what_is_no_extension_keeps_the_gateway_from_starting() {
    let site = Site::new();
    let event = "(param i32 i32 i32 i32 i32)";
    let logging =
        Guest::authenticator(ACCEPT).import("portcullis:host/log", "event", "$event", event);
    let http = Guest::authenticator(ACCEPT)
        .wit(
            "package wasi:http@0.2.0; interface types { open: func(); }",
            "import wasi:http/types@0.2.0;",
        )
        .import("wasi:http/types@0.2.0", "open", "$open", "");
    let wrong_world = Guest::default();
    let core_module = wat::parse_str("(module)").expect("a module");
    for (component, says) in [
        (logging.build(), "add \"log\" to its `grants`"),
        (http.build(), "wasi:http/types@0.2.0"),
        (wrong_world.build(), "exports no hook"),
        (core_module, "not a WebAssembly component"),
    ] {
        fs::write(site.path("bad.wasm"), component).expect("the component is written");
        site.configure_with(&["bad", "acl"], "[extensions.bad]\ncomponent = \"bad.wasm\"\n");
        let mut gateway = Gateway::launch(&site);
        assert_eq!(gateway.ended().code(), Some(1), "{says}");
        let found = gateway.log.wait_for_words(says, PATIENCE);
        assert!(found, "\"{says}\" is not in:\n{}", gateway.log.text());
        let text = gateway.log.text();
        let line = text.lines().find(|line| line.contains(says)).unwrap_or_default();
        assert!(line.contains("extension \"bad\""), "{line}");
        println!("hostile start=refused says={line}");
        assert_eq!(site.check().status.code(), Some(1), "check finds it too: {says}");
    }
}
