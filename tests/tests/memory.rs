//! The gateway stays within its memory, whatever clients do, says what it refuses, and goes on when they have gone.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and figures are for people to read"
)]

use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{
    Packet, PacketId, PacketKind, QoS, ReasonCode, Subscribe, SubscribeFiltersBuf,
    SubscribeOptions, TopicFilter, UserProperties, Version,
};
use portcullis_tests::{Client, Gateway, PATIENCE, Received, Site};

/// What clients can make the gateway take before it refuses anything.
const ROOM: u64 = 96 << 20;

/// Limits that are no help: everything is left to the budget.
const NO_OTHER_LIMITS: &str = "[broker]\nmax-retained-bytes = \"8 GiB\"\nmax-queued-bytes-total = \"8 GiB\"\n\
    [sessions]\nmax-queued-bytes = \"8 GiB\"\n";

/// A site whose gateway may use some more than it takes by itself, and its budget.
fn site() -> (Site, u64) {
    let site = Site::new();
    site.rules("allow * * #\n");
    let idle = {
        let gateway = Gateway::start(&site);
        gateway.client("first").leave();
        // The kernel is asked once a second.
        thread::sleep(Duration::from_millis(1500));
        gateway.counters().get("memory_used")
    };
    let budget = (idle + ROOM) * 100 / 80;
    site.configure(&format!("{NO_OTHER_LIMITS}[limits]\nmemory = \"{budget} B\"\n"));
    (site, budget)
}

/// A client that wants nothing but what it had: a message of its own, now and then.
struct Witness(Client);

impl Witness {
    fn new(gateway: &Gateway<'_>) -> Self {
        let mut client = gateway.options("witness").plain().connect();
        client.subscribe("witness", QoS::AtMostOnce);
        Self(client)
    }

    /// What it publishes arrives.
    fn is_served(&mut self) {
        self.0.publish("witness", b"still here", QoS::AtMostOnce, false);
        assert_eq!(self.0.message().payload, b"still here");
    }
}

fn check_resident(gateway: &Gateway<'_>, budget: u64, what: &str) -> u64 {
    let resident = gateway.meter().resident_kib() << 10;
    assert!(resident < budget, "{what}: {resident} bytes are resident of {budget}");
    resident
}

/// Waits until a stranger is let in again.
fn recovers(gateway: &Gateway<'_>) {
    let until = Instant::now() + PATIENCE;
    loop {
        match gateway.options("late").plain().try_connect() {
            Ok((client, Received::ConnAck(ReasonCode::Success, _))) => return client.leave(),
            Ok((_, Received::ConnAck(ReasonCode::QuotaExceeded, _) | Received::Closed)) => {}
            Ok((_, other)) => panic!("{other:?} instead of CONNACK"),
            // Where memory is used up, it is closed before its CONNECT is read.
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < until, "it does not recover: {:?}", gateway.counters());
        thread::sleep(Duration::from_millis(200));
    }
}

/// Subscribes to 50 filters with 200 levels and 6 KB each; how many were granted.
fn bomb(client: &mut Client, number: usize, packet: u16) -> usize {
    let mut filters = SubscribeFiltersBuf::default();
    for filter in 0..50 {
        let level = format!("{number}-{packet}-{filter:-<24}");
        let deep = vec![level; 199].join("/") + "/x";
        let filter = TopicFilter::new(&deep).expect("a filter");
        filters.push(filter, SubscribeOptions::default()).expect("a subscription");
    }
    let subscribe = Subscribe {
        packet_id: PacketId::new(packet + 1).expect("it is not 0"),
        subscription_id: None,
        user: UserProperties::default(),
        filters: filters.as_ref(),
    };
    client.send(&Packet::Subscribe(subscribe)).expect("the gateway reads");
    match client.receive() {
        Received::SubAck(codes) => {
            let granted = |code: &&ReasonCode| **code == ReasonCode::GRANTED_QOS_0;
            let refused = |code: &&ReasonCode| **code == ReasonCode::QuotaExceeded;
            assert_eq!(codes.iter().filter(|code| granted(code) || refused(code)).count(), 50);
            codes.iter().filter(granted).count()
        }
        other => panic!("{other:?} instead of SUBACK"),
    }
}

#[test]
fn a_bomb_of_deep_subscriptions_is_refused_in_time() {
    let (site, budget) = site();
    let mut gateway = Gateway::start(&site);
    let mut witness = Witness::new(&gateway);
    let connect = |number: usize| gateway.options(&format!("b{number}")).plain().connect();
    let mut bombers: Vec<Client> = (0..20).map(connect).collect();
    let (mut granted, mut peak) = (0, 0);
    for packet in 0..20 {
        for (number, bomber) in bombers.iter_mut().enumerate() {
            granted += bomb(bomber, number, packet);
        }
        peak = peak.max(check_resident(&gateway, budget, "subscribe bomb"));
        witness.is_served();
    }
    assert!(granted < 20_000, "all were granted");
    assert_eq!(witness.0.publish_and_wait("x", b"", false), ReasonCode::NoMatchingSubscribers);
    // Nobody else gets in meanwhile, and hears why.
    let refused = |version, code| {
        let options = gateway.options("stranger").plain().version(version);
        let (_, answer) = options.try_connect().expect("the gateway listens");
        assert_eq!(answer, Received::ConnAck(code, false), "{version:?}");
    };
    refused(Version::V5, ReasonCode::QuotaExceeded);
    refused(Version::V3_1_1, ReasonCode::ServerUnavailable);
    let counters = gateway.counters();
    println!("memory subscribe_bomb granted={granted} peak={peak} budget={budget}");
    assert!(counters.get("limit_memory") > 10_000, "{counters:?}");
    assert!(!gateway.events(0, TIGHT).is_empty(), "the log says so");
    bombers.into_iter().for_each(Client::leave);
    recovers(&gateway);
    assert!(!gateway.events(0, "memory is ample again").is_empty());
    witness.is_served();
    gateway.assert_sound();
}

const TIGHT: &str = "memory is tight; connections, subscriptions and retained messages are refused";

#[test]
fn a_flood_of_retained_messages_is_refused_in_time() {
    const PAYLOAD: usize = 256 << 10;
    let (site, budget) = site();
    let mut gateway = Gateway::start(&site);
    let mut witness = Witness::new(&gateway);
    let mut flooder = gateway.options("flooder").plain().connect();
    let mut retained = 0;
    loop {
        let topic = format!("flood/{retained}");
        let code = flooder.publish_and_wait(&topic, &[7; PAYLOAD], true);
        check_resident(&gateway, budget, "retained flood");
        match code {
            ReasonCode::QuotaExceeded => break,
            _ => retained += 1,
        }
        assert!(retained < 2 * budget as usize / PAYLOAD, "nothing is refused");
    }
    witness.is_served();
    let peak = check_resident(&gateway, budget, "retained flood");
    println!("memory retained_flood retained={retained} peak={peak} budget={budget}");
    assert!(retained > 50, "there is some room: {retained}");
    let small = flooder.publish_and_wait("flood/0", b"less", true);
    assert_eq!(small, ReasonCode::NoMatchingSubscribers, "what takes no more is retained");
    for number in 0..retained {
        let code = flooder.publish_and_wait(&format!("flood/{number}"), b"", true);
        assert_eq!(code, ReasonCode::NoMatchingSubscribers, "what frees memory is taken");
    }
    recovers(&gateway);
    let code = flooder.publish_and_wait("flood/0", &[7; PAYLOAD], true);
    assert_eq!(code, ReasonCode::NoMatchingSubscribers);
    assert!(gateway.counters().get("limit_memory") > 0);
    gateway.assert_sound();
}

#[test]
fn readers_that_do_not_read_cost_publishers_their_publishes_and_not_the_gateway_its_life() {
    const PAYLOAD: usize = 64 << 10;
    let (site, budget) = site();
    let mut gateway = Gateway::start(&site);
    let mut witness = Witness::new(&gateway);
    let mut slow = gateway.options("slow").plain().connect();
    slow.subscribe("flood", QoS::AtLeastOnce);
    let mut flooder = gateway.options("flooder").plain().connect();
    let mut old = gateway.options("old").plain().version(Version::V3_1_1).connect();
    let mut taken = 0;
    while flooder.publish_and_wait("flood", &[7; PAYLOAD], false) != ReasonCode::QuotaExceeded {
        taken += 1;
        check_resident(&gateway, budget, "slow reader");
        assert!(taken < 2 * budget as usize / PAYLOAD, "nothing is refused");
    }
    let peak = check_resident(&gateway, budget, "slow reader");
    println!("memory slow_reader taken={taken} peak={peak} budget={budget}");
    // Who is there is answered, and QoS 0 is dropped.
    assert!(witness.0.pings());
    let before = gateway.counters().get("dropped_memory");
    witness.0.publish("witness", b"lost", QoS::AtMostOnce, false);
    assert!(witness.0.pings());
    assert_eq!(gateway.counters().get("dropped_memory"), before + 1);
    // 3.1.1 has no word for a refusal: what is published waits.
    let id = old.publish("elsewhere", b"patient", QoS::AtLeastOnce, false);
    assert_eq!(old.receive_within(Duration::from_secs(1)), None);
    drop(slow);
    let acknowledged = Received::Ack(PacketKind::PubAck, id, ReasonCode::Success);
    assert_eq!(old.receive(), acknowledged, "it goes on when there is memory again");
    recovers(&gateway);
    witness.is_served();
    let code = flooder.publish_and_wait("flood", b"small", false);
    assert_eq!(code, ReasonCode::NoMatchingSubscribers);
    gateway.assert_sound();
}

#[test]
fn packets_that_are_announced_and_do_not_end_are_cut_off_when_memory_is_used_up() {
    let (site, budget) = site();
    let text = std::fs::read_to_string(site.config()).expect("the configuration is there");
    let text = text.replace("[sessions]\n", "[sessions]\nmax-packet-size = \"4 MiB\"\n");
    let text = text.replace("[broker]\n", "[broker]\noutbound-buffer = \"4 MiB\"\n");
    std::fs::write(site.config(), text).expect("the configuration is written");
    let mut gateway = Gateway::start(&site);
    let mut witness = Witness::new(&gateway);
    let connect = |number: usize| gateway.options(&format!("a{number}")).plain().connect();
    let mut announcers: Vec<Client> = (0..60).map(connect).collect();
    // A PUBLISH of 4,000,000 bytes.
    let begin = [0x30, 0x80, 0x92, 0xF4, 0x01, 0, 1, b't', 0];
    for announcer in &mut announcers {
        announcer.send_raw(&begin).expect("the gateway reads");
    }
    let mut peak = 0;
    for _ in 0..30 {
        for announcer in &mut announcers {
            // Whoever was cut off cannot send any more.
            let _ = announcer.send_raw(&[7; 128 << 10]);
        }
        peak = peak.max(check_resident(&gateway, budget, "announced lengths"));
        assert!(witness.0.pings());
    }
    println!("memory announced_lengths peak={peak} budget={budget}");
    let told = |client: &mut Client| client.receive_within(Duration::from_secs(1));
    let cut = announcers.iter_mut().filter_map(told).count();
    assert!(cut > 0, "nobody is cut off");
    drop(announcers);
    recovers(&gateway);
    witness.is_served();
    gateway.assert_sound();
}
