//! Machines and containers with few addresses: the gateway starts, and its extensions answer.

use std::ffi::OsStr;
use std::fs;

use mqtt::{QoS, ReasonCode};
use portcullis_tests::{Gateway, PATIENCE, Site, free_port};

use crate::guest::{self, ACCEPT, Fallback, Guest};

/// Extensions besides the shipped two, each with instances enough to need more than a small machine has.
const EXTENSIONS: usize = 6;
const INSTANCES: usize = 4;

/// glibc reserves 64 MiB of addresses for each of up to eight arenas a processor, unless it is told to make fewer.
const FEW_ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "2");

/// A site with that many listeners, each with an extension of its own.
fn site() -> (Site, Vec<u16>) {
    let site = Site::new();
    let mut more = String::new();
    let mut ports = Vec::new();
    for number in 0..EXTENSIONS {
        let mut guest = Guest::authenticator(ACCEPT).granting(&[guest::allow("#")], Fallback::Ask);
        guest.put(&[u8::try_from(number).expect("few")]);
        let port = free_port();
        fs::write(site.path(format!("e{number}.wasm")), guest.build()).expect("written");
        more += &format!(
            "[listeners.l{number}]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"e{number}\"]\n\
             [extensions.e{number}]\ncomponent = \"e{number}.wasm\"\ninstances = {INSTANCES}\n\
             memory = \"64 MiB\"\n"
        );
        ports.push(port);
    }
    site.configure(&more);
    (site, ports)
}

fn start_within(site: &Site, listeners: usize, mib: u64) -> Gateway<'_> {
    let (name, value) = FEW_ARENAS;
    Gateway::start_within(site, listeners, mib << 10, &[(name, OsStr::new(value))])
}

fn answers(gateway: &Gateway<'_>, ports: &[u16]) {
    assert!(gateway.client("shipped").pings());
    std::thread::scope(|scope| {
        for (port, client) in ports.iter().flat_map(|port| (0..INSTANCES).map(move |n| (*port, n)))
        {
            scope.spawn(move || {
                let id = format!("c{port}-{client}");
                let mut client = gateway.options(&id).plain_at(port).connect();
                for _ in 0..20 {
                    let code = client.publish_and_wait("any/topic", b"payload", false);
                    assert_eq!(code, ReasonCode::NoMatchingSubscribers);
                }
            });
        }
    });
}

fn plan(gateway: &Gateway<'_>) -> String {
    let chosen = gateway.log.events(0, "address space of guests chosen");
    chosen.first().and_then(|event| event["plan"].as_str()).unwrap_or_default().to_owned()
}

#[test]
fn the_gateway_starts_and_answers_with_what_addresses_there_are() {
    let (site, ports) = site();
    for (mib, expected) in [
        (512, "tight"),
        (1 << 10, "tight"),
        (8 << 10, "tight"),
        (256 << 10, "ample"),
        (512 << 10, "ample"),
    ] {
        let mut gateway = start_within(&site, 2 + EXTENSIONS, mib);
        assert_eq!(plan(&gateway), expected, "{mib} MiB");
        answers(&gateway, &ports);
        gateway.assert_sound();
        println!("addresses={mib} MiB plan={expected} rss_kib={}", gateway.meter().resident_kib());
        let (status, log) = gateway.stop();
        assert!(status.success(), "{mib} MiB: {status}:\n{}", log.text());
    }
}

#[test]
fn half_a_gibibyte_of_addresses_is_enough_for_what_is_made_first() {
    let site = Site::new();
    let mut gateway = start_within(&site, 2, 512);
    assert_eq!(plan(&gateway), "tight");
    let budget = gateway.log.wait(0, PATIENCE, |event| event["message"] == "memory budget");
    assert_eq!(budget.expect("a budget")["bytes"], 256 << 20, "half of the addresses");
    let mut away = gateway.options("away").persistent().connect();
    away.subscribe("demo/#", QoS::AtLeastOnce);
    away.leave();
    let mut client = gateway.client("here");
    for _ in 0..100 {
        let code = client.publish_and_wait("demo/x", &[b'x'; 4096], false);
        assert_eq!(code, ReasonCode::Success);
    }
    gateway.assert_sound();
    println!("addresses=512 MiB rss_kib={}", gateway.meter().resident_kib());
    let (status, log) = gateway.stop();
    assert!(status.success(), "{status}:\n{}", log.text());
}

#[test]
fn a_machine_without_limits_is_as_it_is() {
    let (site, ports) = site();
    let mut gateway = Gateway::start_with(&site, 2 + EXTENSIONS);
    let plan = plan(&gateway);
    assert!(["wide", "ample"].contains(&&*plan), "{plan}");
    answers(&gateway, &ports);
    gateway.assert_sound();
    println!("addresses=all plan={plan} rss_kib={}", gateway.meter().resident_kib());
}
