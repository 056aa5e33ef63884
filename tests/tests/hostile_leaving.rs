//! Clients that leave while a guest is asked about them, and a guest that waits for a server that never answers: the
//! call ends by its limit, its instance serves the next, and nobody else notices.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

#[path = "../../gateway/crates/extension-host/tests/guest/mod.rs"]
mod guest;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use guest::{ACCEPT, ENDLESS, Fallback, Function, Guest, TWO_STEPS, provoked};
use mqtt::{Connect, ConnectProperties, Packet, PacketKind, QoS, ReasonCode, Version};
use portcullis_tests::{Client, Gateway, Operator, PATIENCE, Received, Site, Wire, free_port};
use serde_json::Value;

/// Time of the guests for a call: long enough to leave in the middle of it.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long a client waits before it leaves.
const MIDDLE: Duration = Duration::from_millis(200);

/// What a busy machine may take besides.
const SLACK: Duration = Duration::from_secs(5);

/// A listener with a guest, which has one instance.
struct Place {
    name: &'static str,
    guest: Guest,
    port: u16,
    /// More of its configuration.
    more: String,
}

impl Place {
    fn new(name: &'static str, guest: Guest) -> Self {
        Self { name, guest, port: free_port(), more: String::new() }
    }

    fn configuration(&self, site: &Site) -> String {
        let Self { name, guest, port, more } = self;
        fs::write(site.path(format!("{name}.wasm")), guest.build()).expect("it is written");
        let chain = if guest.has_authorizer() { "" } else { ", \"acl\"" };
        format!(
            "[listeners.{name}]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"{name}\"{chain}]\n\
             [extensions.{name}]\ncomponent = \"{name}.wasm\"\ninstances = 1\n\
             deadline.authenticate = \"{authenticate}ms\"\ndeadline.authorize = \"{authorize}ms\"\n{more}",
            // Who comes while the instance is held by a question about a publish waits for it as long as this.
            authenticate =
                if guest.has_authorizer() { DEADLINE + SLACK } else { DEADLINE }.as_millis(),
            authorize = DEADLINE.as_millis(),
        )
    }
}

fn site(places: &[Place]) -> Site {
    let site = Site::new();
    let text: String = places.iter().map(|place| place.configuration(&site)).collect();
    site.configure(&text);
    site
}

fn bystander(gateway: &Gateway<'_>) -> Client {
    let mut client = gateway.client("bystander");
    assert_eq!(client.subscribe("demo/loop", QoS::AtLeastOnce), ReasonCode::GrantedQos1);
    client
}

/// CONNECT that names the method of the guest.
fn stepping(port: u16, client_id: &str) -> Client {
    let wire = Wire::plain(port).expect("the gateway accepts connections");
    let mut client = Client::on(wire, Version::V5);
    let properties =
        ConnectProperties { authentication_method: Some("M"), ..ConnectProperties::default() };
    let connect = Connect {
        version: Version::V5,
        client_id,
        clean_start: true,
        keep_alive: 0,
        username: None,
        password: None,
        will: None,
        properties,
    };
    client.send(&Packet::Connect(Box::new(connect))).expect("the gateway reads");
    client
}

/// Whether one of those that have left is still connected.
fn is_here(operator: &Operator) -> bool {
    let clients = operator.asks(&["clients"]);
    let left = |one: &Value| one["client"] == "!" || one["client"] == "leaving";
    let mut all = clients["clients"].as_array().expect("a list").iter();
    all.any(|one| left(one) && one["connected"] == true)
}

/// Waits until the call has ended at its deadline, which nobody is told.
fn ends(gateway: &Gateway<'_>, extension: &str) {
    let until = Instant::now() + PATIENCE;
    while gateway.counters().of_extension(extension, "deadline_exceeded") != 1 {
        assert!(Instant::now() < until, "{extension}: the call does not end");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_call_leaves_nothing_behind() {
    let asked = Guest::authenticator(ACCEPT).granting(&[], Fallback::Ask).provoked_in(
        Function::Publish,
        "(i32.eq (i32.load8_u (local.get $topic)) (i32.const 33))",
        ENDLESS,
    );
    let places = [
        Place::new("connecting", Guest::authenticator(&provoked(ENDLESS, ACCEPT))),
        Place::new("stepping", Guest::enhanced(&["M"], &provoked(ENDLESS, TWO_STEPS))),
        Place::new("asking", asked),
    ];
    let site = site(&places);
    let mut gateway = Gateway::start_with(&site, 2 + places.len());
    let mut bystander = bystander(&gateway);
    for Place { name, port, .. } in &places {
        let mut leaving = match *name {
            "connecting" => gateway.options("!").plain_at(*port).knock().expect("a connection"),
            "stepping" => stepping(*port, "!"),
            _ => {
                let mut client = gateway.options("leaving").plain_at(*port).connect();
                client.publish("!", b"", QoS::AtLeastOnce, false);
                client
            }
        };
        thread::sleep(MIDDLE);
        leaving.wire().hang_up();
        drop(leaving);
        bystander.round_trip("demo/loop");
        let began = Instant::now();
        match *name {
            // The one instance may still be in the call of the client that has gone.
            "stepping" => {
                let answer = stepping(*port, "next").receive();
                assert_eq!(answer, Received::Other(PacketKind::Auth), "the first challenge");
            }
            _ => {
                let mut next = gateway.options("next").plain_at(*port).connect();
                assert!(next.pings(), "{name}");
                if *name == "asking" {
                    assert!(!next.publish_and_wait("fine", b"", false).is_error(), "{name}");
                }
            }
        }
        assert!(began.elapsed() < DEADLINE + SLACK, "{name}: {:?}", began.elapsed());
        ends(&gateway, name);
        bystander.round_trip("demo/loop");
    }
    let operator = Operator::of(&site);
    let until = Instant::now() + PATIENCE;
    while is_here(&operator) {
        assert!(Instant::now() < until, "{}", operator.says(&["clients"]));
        thread::sleep(Duration::from_millis(50));
    }
    gateway.assert_sound();
}

/// Asks a server in `authenticate` when it is provoked, and refuses the client with 0x88 where it has no answer.
fn waiting() -> Guest {
    let mut guest = Guest::authenticator("");
    let mut text = |text: &str| {
        format!("(i32.const {}) (i32.const {})", guest.put(text.as_bytes()), text.len())
    };
    let (connection, method, path) = (text("auth"), text("GET"), text("/x"));
    let ask = format!(
        "(call $send {connection} {method} {path} (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) \
           (i32.const 2048)) \
         (if (i32.load8_u (i32.const 2048)) \
           (then (i32.store8 (i32.const 1032) (i32.const 1)) (i32.store8 (i32.const 1040) (i32.const 0x88))) \
           (else {ACCEPT}))"
    );
    guest.with_authenticate(&provoked(&ask, ACCEPT)).import(
        "portcullis:host/http",
        "send",
        "$send",
        "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)",
    )
}

#[test]
fn a_server_that_never_answers_holds_up_its_caller_alone() {
    // The system accepts connections to it, and nobody ever reads from them.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
    let port = silent.local_addr().expect("it is bound").port();
    let timeout = Duration::from_millis(500);
    let waits = Place {
        more: format!(
            "grants = [\"http\"]\n[extensions.waits.connections.auth]\nurl = \"http://127.0.0.1:{port}/\"\n\
             timeout = \"{}ms\"\n",
            timeout.as_millis()
        ),
        ..Place::new("waits", waiting())
    };
    let places = [waits];
    let site = site(&places);
    let mut gateway = Gateway::start_with(&site, 3);
    let mut bystander = bystander(&gateway);
    let port = places[0].port;
    let took = thread::scope(|scope| {
        let provoked = scope.spawn(|| {
            let began = Instant::now();
            let (_, answer) = gateway.options("!").plain_at(port).try_connect().expect("an answer");
            assert!(
                matches!(answer, Received::ConnAck(ReasonCode::ServerUnavailable, _)),
                "{answer:?}"
            );
            began.elapsed()
        });
        let mut trips = 0;
        while !provoked.is_finished() {
            bystander.round_trip("demo/loop");
            trips += 1;
        }
        assert!(trips > 1, "others are served meanwhile");
        provoked.join().expect("it was refused")
    });
    assert!(took >= timeout * 3 / 4 && took < DEADLINE + SLACK, "{took:?}");
    let mut next = gateway.options("next").plain_at(port).connect();
    assert!(next.pings(), "the instance serves the next");
    let counters = gateway.counters();
    assert_eq!(counters.of_extension("waits", "http_failures"), 1);
    let harm = ["deadline_exceeded", "traps"].map(|name| counters.of_extension("waits", name));
    assert_eq!(harm, [0, 0], "the wait ends before the call's time does");
    gateway.assert_sound();
}
