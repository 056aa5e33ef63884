//! What one address or name may do, and who is kept out (gateway/ABUSE.md). Clients come from several addresses of
//! loopback, which is not exempt here.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::io::Write;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use mqtt::{QoS, ReasonCode, Version};
use portcullis_tests::{Client, Gateway, Operator, Options, Received, Site, Wire, free_port};

/// Within this the gateway has closed a connection that it does not want.
const PROMPT: Duration = Duration::from_secs(5);

/// Two hosts of one network, and one elsewhere.
const EVE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 1, 2, 3);

/// A site on which nobody is exempt, with these limits.
fn site(limits: &str) -> Site {
    let site = Site::new();
    site.configure(&format!("[limits]\nexempt = []\n{limits}\n"));
    site
}

/// A connection to the plain listener from an address.
fn wire(site: &Site, source: Ipv4Addr) -> Wire {
    Wire::plain_from(source, site.plain).expect("the gateway accepts connections")
}

/// Whether a connection from an address is cut without a word. That may happen before it is known here.
fn is_cut(source: Ipv4Addr, port: u16) -> bool {
    Wire::plain_from(source, port)
        .map_or(true, |mut wire| wire.closes_within(Duration::from_secs(1)))
}

fn is_cut_at_once(source: Ipv4Addr, port: u16) -> bool {
    let soon = Duration::from_millis(50);
    Wire::plain_from(source, port).map_or(true, |mut wire| wire.closes_within(soon))
}

/// What a client hears that comes from an address.
fn comes(options: &Options, site: &Site, source: Ipv4Addr) -> (Option<Client>, Received) {
    let wire = Wire::plain_from(source, site.plain);
    let Ok(mut client) = wire.and_then(|wire| options.knock_on(wire)) else {
        return (None, Received::Closed);
    };
    let answer = client.receive();
    (Some(client), answer)
}

fn hears(options: &Options, site: &Site, source: Ipv4Addr) -> Received {
    comes(options, site, source).1
}

/// A client that is let in from an address.
fn enters(options: &Options, site: &Site, source: Ipv4Addr) -> Client {
    match comes(options, site, source) {
        (Some(client), IN) => client,
        (_, other) => panic!("from {source}: {other:?}"),
    }
}

const IN: Received = Received::ConnAck(ReasonCode::Success, false);

fn refused(code: ReasonCode) -> Received {
    Received::ConnAck(code, false)
}

#[test]
fn connections_that_come_too_fast_are_cut_before_their_handshake() {
    let site = site("arrival-burst = 5\narrival-rate = 1\n");
    let mut gateway = Gateway::start(&site);
    let mut kept: Vec<_> = (0..5).map(|_| wire(&site, EVE)).collect();
    for wire in &mut kept {
        assert!(!wire.closes_within(Duration::from_millis(20)), "five may come at once");
    }
    // A token a second comes back, and the machine may be slow.
    let cut = (0..100).any(|_| is_cut_at_once(EVE, site.tls));
    assert!(cut, "the listeners have one measure");
    let options = gateway.options("elsewhere");
    enters(&options, &site, ELSEWHERE).leave();
    thread::sleep(Duration::from_millis(1500));
    enters(&gateway.options("later"), &site, EVE).leave();
    let counters = gateway.counters();
    assert!(counters.get("limit_arrivals") >= 1, "{counters:?}");
    assert!(
        gateway.events(0, "connection kept out")[0]["why"]
            .as_str()
            .is_some_and(|why| why.contains("limits.arrival-rate"))
    );
    gateway.assert_sound();
}

#[test]
fn guessing_is_slowed_and_banned_however_the_client_identifier_changes() {
    let site = site("max-failures-per-address = 6\nmax-failures-per-name = 100\n");
    let gateway = Gateway::start(&site);
    let operator = Operator::of(&site);
    let mut good = enters(&gateway.options("good"), &site, ELSEWHERE);
    let mut took = Vec::new();
    for n in 0..6 {
        let options = gateway.options(&format!("guess-{n}")).user("demo", &format!("wrong-{n}"));
        let begin = Instant::now();
        assert_eq!(hears(&options, &site, EVE), refused(ReasonCode::BadUserNameOrPassword));
        took.push(begin.elapsed());
    }
    // From the third on the answers are kept back, each for twice as long.
    assert!(took[5] >= Duration::from_millis(800), "{took:?}");
    let right = gateway.options("right");
    assert_eq!(hears(&right, &site, EVE), Received::Closed, "the right password is too late now");
    enters(&right, &site, NEIGHBOUR).leave();
    enters(&gateway.options("other"), &site, ELSEWHERE).leave();
    assert!(good.pings());
    let counters = gateway.counters();
    assert_eq!((counters.get("failed_authentications"), counters.get("bans_made")), (6, 1));
    let shown = operator.asks(&["ban", "list"]);
    assert_eq!(shown["bans"][0]["network"], "127.0.0.2", "{shown}");
    assert_eq!(
        (&shown["bans"][0]["by"], shown["bans"].as_array().map(Vec::len)),
        (&"rule".into(), Some(1))
    );
    // It is kept over a restart, within a second or so.
    let written = || std::fs::read_to_string(site.path("data/bans.json")).unwrap_or_default();
    let begin = Instant::now();
    while !written().contains("\"127.0.0.2\"") {
        assert!(begin.elapsed() < PROMPT, "the ban is not written: {}", written());
        thread::sleep(Duration::from_millis(50));
    }
    gateway.kill();
    let mut gateway = Gateway::start(&site);
    assert_eq!(hears(&right, &site, EVE), Received::Closed);
    // The operator forgives.
    operator.says(&["ban", "lift", "--network", "127.0.0.2"]);
    enters(&right, &site, EVE).leave();
    assert_eq!(gateway.counters().get("bans"), 0);
    gateway.assert_sound();
}

#[test]
fn a_name_that_fails_is_banned_in_its_network_only() {
    let site = site("max-failures-per-name = 3\nmax-failure-delay = \"0s\"\n");
    site.user("alice", "secret-of-alice");
    let mut gateway = Gateway::start(&site);
    for n in 0..3 {
        let guess = gateway.options(&format!("g{n}")).user("alice", "wrong");
        assert_eq!(hears(&guess, &site, EVE), refused(ReasonCode::BadUserNameOrPassword));
    }
    let alice = gateway.options("alice").user("alice", "secret-of-alice");
    let old = alice.clone().version(Version::V3_1_1);
    assert_eq!(hears(&alice, &site, NEIGHBOUR), refused(ReasonCode::Banned));
    assert_eq!(hears(&old, &site, NEIGHBOUR), refused(ReasonCode::NotAuthorized));
    enters(&alice, &site, ELSEWHERE).leave();
    enters(&gateway.options("demo"), &site, EVE).leave();
    // Where she has been in, nobody can have her banned.
    for n in 0..5 {
        let guess = gateway.options(&format!("g{n}")).user("alice", "wrong");
        assert_eq!(hears(&guess, &site, ELSEWHERE), refused(ReasonCode::BadUserNameOrPassword));
    }
    enters(&alice, &site, ELSEWHERE).leave();
    gateway.assert_sound();
}

#[test]
fn a_client_that_comes_and_goes_is_told_so_and_banned_for_a_while() {
    let site = site("max-connects-per-client = 3\nban-time = \"2s\"\n");
    let mut gateway = Gateway::start(&site);
    let flapping = gateway.options("flapping");
    for _ in 0..3 {
        enters(&flapping, &site, EVE).leave();
    }
    assert_eq!(hears(&flapping, &site, EVE), refused(ReasonCode::ConnectionRateExceeded));
    assert_eq!(hears(&flapping, &site, EVE), refused(ReasonCode::Banned));
    enters(&gateway.options("steady"), &site, EVE).leave();
    let begin = Instant::now();
    while hears(&flapping, &site, EVE) != IN {
        assert!(begin.elapsed() < PROMPT, "the ban does not end");
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(gateway.counters().get("limit_flapping"), 1);
    gateway.assert_sound();
}

#[test]
fn an_address_and_an_identity_have_so_many_connections() {
    let limits = "max-connections-per-address = 3\nmax-connections-per-identity = 4\n";
    let site = site(limits);
    let mut gateway = Gateway::start(&site);
    let named = |id: &str| gateway.options(id);
    let mut inside: Vec<_> =
        ["a", "b", "c"].map(|id| enters(&named(id), &site, EVE)).into_iter().collect();
    assert!(is_cut(EVE, site.plain), "three are in from here");
    inside.push(enters(&named("d"), &site, ELSEWHERE));
    assert_eq!(hears(&named("e"), &site, ELSEWHERE), refused(ReasonCode::QuotaExceeded));
    let old = named("e").version(Version::V3_1_1);
    assert_eq!(hears(&old, &site, ELSEWHERE), refused(ReasonCode::ServerUnavailable));
    // A device that comes back before it was missed is not one more.
    let again = enters(&named("d"), &site, ELSEWHERE);
    drop(inside.pop());
    again.leave();
    let begin = Instant::now();
    while hears(&named("e"), &site, ELSEWHERE) != IN {
        assert!(begin.elapsed() < PROMPT, "who has gone is still counted");
        thread::sleep(Duration::from_millis(50));
    }
    let counters = gateway.counters();
    assert!(counters.get("limit_connections_per_address") >= 1, "{counters:?}");
    assert!(counters.get("limit_connections_per_identity") >= 2, "{counters:?}");
    gateway.assert_sound();
}

/// A listener on which CONNECT has to come within two seconds.
fn hasty(port: u16, more: &str) -> String {
    format!(
        r#"[extensions.password.deadline]
authenticate = "500ms"
[extensions.acl.deadline]
authenticate = "500ms"
[listeners.hasty]
bind = "127.0.0.1:{port}"
transport = "tcp"
chain = ["password", "acl"]
connect-timeout = "2s"
{more}
"#
    )
}

#[test]
fn whoever_holds_connections_without_a_word_is_banned() {
    let port = free_port();
    let limits = "max-strangers-per-address = 6\nmax-failures-per-address = 4\n";
    let site = site(&format!("{limits}{}", hasty(port, "")));
    let mut gateway = Gateway::start_with(&site, 3);
    let silent: Vec<_> =
        (0..6).map(|_| Wire::plain_from(EVE, port).expect("it is accepted")).collect();
    assert!(is_cut(EVE, port), "an address has six strangers");
    enters(&gateway.options("elsewhere"), &site, ELSEWHERE).leave();
    for mut wire in silent {
        assert!(wire.closes_within(PROMPT), "a silent connection stays open");
    }
    assert!(is_cut(EVE, site.plain), "it is banned");
    let counters = gateway.counters();
    assert_eq!((counters.get("stalled_connections"), counters.get("bans")), (6, 1));
    assert!(counters.get("limit_strangers_per_address") >= 1, "{counters:?}");
    gateway.assert_sound();
}

#[test]
fn at_the_limit_of_handshakes_others_wait_and_get_in() {
    let port = free_port();
    let site = Site::new();
    site.configure(&hasty(port, "max-handshakes = 3"));
    let mut gateway = Gateway::start_with(&site, 3);
    let silent: Vec<_> = (0..3).map(|_| Wire::plain(port).expect("it is accepted")).collect();
    thread::sleep(Duration::from_secs(1));
    let begin = Instant::now();
    let patient = Wire::plain(port).expect("it is accepted");
    gateway.options("patient").connect_on(patient).leave();
    assert!(begin.elapsed() >= Duration::from_millis(500), "it has waited: {:?}", begin.elapsed());
    drop(silent);
    assert_eq!(gateway.counters().get("limit_handshakes"), 1);
    gateway.assert_sound();
}

#[test]
fn a_client_certificate_that_is_refused_counts_as_a_failure() {
    let port = free_port();
    let site = site(&format!(
        r#"max-failures-per-address = 4
[listeners.machines]
bind = "127.0.0.1:{port}"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
tls.client-auth = "required"
tls.client-ca = "pki/ca.pem"
chain = ["password", "acl"]
"#
    ));
    let mut gateway = Gateway::start_with(&site, 3);
    // Of an authority of the same name that is another one.
    let other = Site::new();
    let pki = other.path("pki");
    let made = std::process::Command::new(&portcullis_tests::program().portcullis)
        .args(["cert", "client", "eve", "--dir"])
        .arg(&pki)
        .output()
        .expect("the program starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (certificate, key) = (pki.join("eve.pem"), pki.join("eve.key"));
    for _ in 0..4 {
        let wire = Wire::plain_from(EVE, port).expect("the gateway accepts connections");
        let wire = wire.encrypted(b"mqtt", &site.ca(), Some((&certificate, &key)));
        // With TLS 1.3 the client hears of it when its own handshake is over.
        assert!(wire.map_or(true, |mut wire| wire.closes_within(PROMPT)), "it is not refused");
    }
    assert!(is_cut(EVE, site.plain), "it is banned");
    enters(&gateway.options("elsewhere"), &site, ELSEWHERE).leave();
    assert_eq!(gateway.counters().get("failed_authentications"), 4);
    gateway.assert_sound();
}

#[test]
fn a_packet_that_has_begun_has_so_much_time_and_more_for_its_bytes() {
    let port = free_port();
    let site = Site::new();
    site.configure(&format!(
        "[listeners.brief]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"password\", \"acl\"]\n\
         packet-timeout = \"1s\"\n"
    ));
    let mut gateway = Gateway::start_with(&site, 3);
    let mut reader = gateway.client("reader");
    reader.subscribe("demo/slow", QoS::AtMostOnce);
    // Some bytes now and then, of a packet that is small.
    let mut drip = gateway.options("drip").plain_at(port).connect();
    let begin = Instant::now();
    drip.send_raw(&[0x30, 100, 0, 6]).expect("it is read");
    let mut said = None;
    while said.is_none() && begin.elapsed() < PROMPT {
        // It may be over meanwhile.
        let _ = drip.send_raw(b"d");
        said = drip.receive_within(Duration::from_millis(200));
    }
    assert_eq!(said, Some(Received::Disconnect(ReasonCode::QuotaExceeded)));
    assert!(begin.elapsed() >= Duration::from_secs(1), "it had its time: {:?}", begin.elapsed());
    // Two KiB a second are slow, and progress.
    let mut slow = gateway.options("slow").plain_at(port).connect();
    let mut packet = vec![0x30, 0x8A, 0x30, 0, 9];
    packet.extend_from_slice(b"demo/slow");
    packet.resize(3 + 6154, b'x');
    packet[14] = 0;
    for piece in packet.chunks(512) {
        slow.send_raw(piece).expect("it is read");
        thread::sleep(Duration::from_millis(250));
    }
    assert_eq!(reader.message().payload.len(), 6154 - 12);
    assert!(slow.pings());
    // Who says nothing at all is not hurried.
    thread::sleep(Duration::from_millis(1500));
    assert!(slow.pings());
    assert_eq!(gateway.counters().get("limit_packet_time"), 1);
    gateway.assert_sound();
}

#[test]
fn what_the_operator_bans_goes_and_stays_away_until_it_is_lifted() {
    let site = Site::new();
    let operator = Operator::of(&site);
    let gateway = Gateway::start(&site);
    let mut stolen = gateway.client("stolen");
    let mut other = gateway.client("other");
    let said = operator.asks(&["ban", "add", "--client", "stolen", "--reason", "it was stolen"]);
    assert_eq!((&said["disconnected"], &said["kept"]), (&1.into(), &true.into()), "{said}");
    assert_eq!(stolen.receive(), Received::Disconnect(ReasonCode::AdministrativeAction));
    assert_eq!(stolen.receive(), Received::Closed);
    assert!(other.pings());
    // It is on disk when the operator has the answer.
    gateway.kill();
    let mut gateway = Gateway::start(&site);
    let old = gateway.options("stolen").version(Version::V3_1_1);
    let (_, answer) = gateway.options("stolen").try_connect().expect("it is accepted");
    assert_eq!(answer, refused(ReasonCode::Banned));
    let (_, answer) = old.try_connect().expect("it is accepted");
    assert_eq!(answer, refused(ReasonCode::NotAuthorized));
    let shown = operator.says(&["ban", "list"]);
    assert!(shown.contains("client stolen") && shown.contains("it was stolen"), "{shown}");
    assert!(shown.contains("never"), "{shown}");
    operator.says(&["ban", "lift", "--client", "stolen"]);
    gateway.client("stolen").leave();
    let why = operator.fails(&["ban", "lift", "--client", "stolen"]);
    assert!(why.contains("there is no ban of client \"stolen\""), "{why}");

    // By network, exempt or not; by identity; by both.
    let mut near = enters(&gateway.options("near"), &site, EVE);
    operator.says(&["ban", "add", "--network", "127.0.0.2/31", "--for", "1h"]);
    assert_eq!(near.receive(), Received::Disconnect(ReasonCode::AdministrativeAction));
    assert!(is_cut(NEIGHBOUR, site.plain));
    let mut demo = enters(&gateway.options("demo"), &site, ELSEWHERE);
    let pair = ["--identity", "demo", "--network", "127.1.2.0/24"];
    let said = operator.asks(&[&["ban", "add"][..], &pair].concat());
    assert_eq!(said["disconnected"], 1, "{said}");
    assert_eq!(demo.receive(), Received::Disconnect(ReasonCode::AdministrativeAction));
    assert_eq!(hears(&gateway.options("demo"), &site, ELSEWHERE), refused(ReasonCode::Banned));
    gateway.client("demo").leave();
    let why = operator.fails(&["ban", "add", "--network", "127.0.0.1/8"]);
    assert!(why.contains("write 127.0.0.0/8"), "{why}");
    assert_eq!(operator.run(&["ban", "add"]).status.code(), Some(2), "it names nobody");
    gateway.assert_sound();
}

#[test]
fn a_damaged_file_of_bans_does_not_keep_the_gateway_from_starting() {
    let site = Site::new();
    std::fs::create_dir_all(site.path("data")).expect("a folder");
    std::fs::write(site.path("data/bans.json"), "{\"version\":1,\"bans\":[{").expect("a file");
    let mut gateway = Gateway::start(&site);
    assert!(site.path("data/bans.json.damaged").exists());
    assert_eq!(gateway.events(0, "bans cannot be read; the gateway starts without them").len(), 1);
    gateway.client("in").leave();
    gateway.assert_sound();
}

#[test]
fn a_client_behind_a_proxy_counts_and_the_proxy_does_not() {
    let port = free_port();
    let site = Site::new();
    site.configure(&format!(
        r#"[limits]
exempt = []
arrival-burst = 2
arrival-rate = 1
[listeners.behind]
bind = "127.0.0.1:{port}"
transport = "tcp"
proxy-protocol = ["127.0.0.2"]
connect-timeout = "2min"
chain = ["password", "acl"]
"#
    ));
    let mut gateway = Gateway::start_with(&site, 3);
    let announced = |last: u8| {
        let mut wire = Wire::plain_from(EVE, port).expect("it is accepted");
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
        header.extend([198, 51, 100, last, 192, 0, 2, 1, 0xC8, 0x22, 0x22, 0xB3]);
        wire.write_all(&header).expect("it is read");
        wire
    };
    // Which of them come first is not said; a token a second comes back, and the machine may be slow.
    let mut wires: Vec<_> = (0..12).map(|_| announced(7)).collect();
    let cut = wires
        .iter_mut()
        .filter_map(|wire| wire.closes_within(Duration::from_millis(200)).then_some(()));
    let cut = cut.count();
    assert!((1..=10).contains(&cut), "{cut} of 12 were cut");
    for last in 8..11 {
        let id = format!("behind-{last}");
        gateway.options(&id).connect_on(announced(last)).leave();
    }
    gateway.assert_sound();
}

#[test]
fn quic_gets_no_answer_where_it_is_banned_and_has_to_show_its_address_where_it_is_eager() {
    let port = free_port();
    let site = Site::new();
    site.configure(&format!(
        r#"[limits]
exempt = []
arrival-burst = 8
arrival-rate = 1
[listeners.quic]
bind = "127.0.0.1:{port}"
transport = "quic"
tls.cert = "pki/server.pem"
tls.key = "pki/server.key"
chain = ["password", "acl"]
"#
    ));
    let mut gateway = Gateway::start_with(&site, 3);
    let operator = Operator::of(&site);
    let quic = |source| Wire::quic_from(source, port, &site.ca(), None);
    // Five use up more than half of what the address has; the next ones come in by a Retry, and are counted.
    for n in 0..8 {
        let wire = quic(EVE).expect("a connection");
        gateway.options(&format!("q{n}")).connect_on(wire).leave();
    }
    assert_eq!(gateway.counters().get("limit_arrivals"), 0);
    operator.says(&["ban", "add", "--network", "127.1.2.3"]);
    thread::scope(|scope| {
        let waits =
            scope.spawn(|| quic(ELSEWHERE).map(|wire| gateway.options("late").connect_on(wire)));
        gateway.wait_for("refused_banned", 1);
        thread::sleep(Duration::from_millis(500));
        assert!(!waits.is_finished(), "nobody answers, neither yes nor no");
        operator.says(&["ban", "lift", "--network", "127.1.2.3"]);
        let client = waits.join().expect("it is let in");
        client.expect("a client asks again and again").leave();
    });
    gateway.assert_sound();
}
