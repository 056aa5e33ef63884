//! `[listeners.NAME]`: where clients connect.

use std::time::Duration;

use crate::bind::{self, Bind};
use crate::network::{self, Network};
use crate::quic::{self, Quic};
use crate::rates::{self, Rates};
use crate::roster;
use crate::section::Section;
use crate::tls::{self, Tls};
use crate::topics::{DURABILITIES, Durability};
use crate::web::{self, WebSocket};

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the file.
    pub name: String,
    /// Where it listens.
    pub bind: Bind,
    /// What is spoken below MQTT.
    pub transport: Transport,
    /// The WebSocket in which it is spoken, if it is.
    pub web: Option<WebSocket>,
    /// Addresses of proxies in front, which say first whose connection they pass on (PROXY protocol 2).
    pub proxies: Vec<Network>,
    /// The extensions that decide who may connect, in the order in which they are asked: at least
    /// one, each of them configured.
    pub chain: Vec<String>,
    /// Connections at a time.
    pub max_connections: u32,
    /// Time for handshake and CONNECT together.
    pub connect_timeout: Duration,
    /// Connections that may be between their first byte and their CONNECT.
    pub max_handshakes: u32,
    /// Time for a packet of a client that is in, once it has begun, besides that for its bytes.
    pub packet_timeout: Duration,
    /// Whether clients may speak MQTT 3.1 as well as 3.1.1 and 5.
    pub mqtt_3_1: bool,
    /// What the acknowledgements of QoS 1 publishes wait for, where topics say nothing else.
    pub durability: Durability,
    /// How much each client may send in a time.
    pub rates: Rates,
}

/// What is spoken below MQTT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP in the clear: on a loopback address, or accepted in so many words ([`ACCEPT_PLAINTEXT`]).
    Tcp,
    /// TLS over TCP.
    Tls(Tls),
    /// QUIC over UDP.
    Quic(Quic),
}

/// What `insecure-plaintext` must say for plain TCP on an address that others can reach.
pub const ACCEPT_PLAINTEXT: &str = "I accept that passwords and data travel unencrypted";

/// More than one site has devices; at 15 kB each, all of them fit the smallest supported box.
const DEFAULT_MAX_CONNECTIONS: u32 = 10_000;

/// A handshake over a bad radio link takes seconds; longer is somebody holding a slot.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A crowd after a power cut waits a little; a flood holds 64 KiB for each of them at the most.
const DEFAULT_MAX_HANDSHAKES: u32 = 1024;

/// Longer than a link is silent that will go on.
const DEFAULT_PACKET_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads all listeners. One whose essentials are faulty is left out.
/// `extensions` are the names to which chains can refer.
pub(crate) fn read(root: &Section<'_>, extensions: &[String]) -> Vec<Listener> {
    if root.is_empty_part("listeners") {
        root.missing(
            "listeners",
            "without a listener nobody can connect; add [listeners.NAME] with bind and chain",
        );
    }
    let sections = root.named("listeners", "listener");
    sections
        .into_iter()
        .filter_map(|(name, section)| read_one(name, &section, extensions))
        .collect()
}

fn read_one(name: String, section: &Section<'_>, extensions: &[String]) -> Option<Listener> {
    let bind = bind::read(section);
    let kind = kind(section, bind.as_ref());
    let transport = kind.and_then(|kind| transport(section, kind, bind.as_ref()));
    let web = web::read(section, kind.map(|kind| (kind.is_web, kind.word)));
    let proxies = proxies(section, bind.as_ref(), kind);
    let chain = chain(section, extensions);
    let max_connections = section.number("max-connections", DEFAULT_MAX_CONNECTIONS, 1..=1_000_000);
    let connect_timeout = section.duration(
        "connect-timeout",
        DEFAULT_CONNECT_TIMEOUT,
        Duration::from_secs(1)..=Duration::from_secs(120),
    );
    let max_handshakes = max_handshakes(section, transport.as_ref());
    let packet_timeout = section.duration(
        "packet-timeout",
        DEFAULT_PACKET_TIMEOUT,
        Duration::from_secs(1)..=Duration::from_secs(3600),
    );
    let mqtt_3_1 = section.flag("mqtt-3-1", false);
    let durability = section.choice("durability", Durability::Strict, &DURABILITIES);
    let rates = rates::read(section);
    section.finish();
    Some(Listener {
        name,
        bind: bind?,
        transport: transport?,
        web,
        proxies,
        chain,
        max_connections,
        connect_timeout,
        max_handshakes,
        packet_timeout,
        mqtt_3_1,
        durability,
        rates,
    })
}

/// With QUIC the number stands beside the others of its handshakes.
fn max_handshakes(section: &Section<'_>, transport: Option<&Transport>) -> u32 {
    const KEY: &str = "max-handshakes";
    if let Some(Transport::Quic(quic)) = transport {
        section.meaningless(&[KEY], "with transport = \"quic\"; it is quic.max-handshakes there");
        return quic.max_handshakes;
    }
    section.number(KEY, DEFAULT_MAX_HANDSHAKES, 1..=1_000_000)
}

fn proxies(section: &Section<'_>, bind: Option<&Bind>, kind: Option<Kind>) -> Vec<Network> {
    const KEY: &str = "proxy-protocol";
    if bind.is_some_and(Bind::is_unix) {
        section.meaningless(&[KEY], "with a Unix socket, whose clients have no address; remove it");
        return Vec::new();
    }
    if kind.is_some_and(|kind| kind.word == QUIC) {
        section
            .meaningless(&[KEY], "with transport = \"quic\", which has no such header; remove it");
        return Vec::new();
    }
    network::read(section, KEY)
}

const QUIC: &str = "quic";

/// What `transport` says.
#[derive(Clone, Copy)]
struct Kind {
    word: &'static str,
    encrypts: bool,
    is_web: bool,
}

const KINDS: [(&str, Kind); 5] = [
    ("tls", Kind { word: "tls", encrypts: true, is_web: false }),
    ("tcp", Kind { word: "tcp", encrypts: false, is_web: false }),
    (QUIC, Kind { word: QUIC, encrypts: true, is_web: false }),
    ("wss", Kind { word: "wss", encrypts: true, is_web: true }),
    ("ws", Kind { word: "ws", encrypts: false, is_web: true }),
];

/// What is spoken in a Unix socket, where the kernel says who is at the other end and nobody is in between.
const LOCAL_KINDS: [(&str, Kind); 2] = [
    ("unix", Kind { word: "unix", encrypts: false, is_web: false }),
    ("ws", Kind { word: "ws", encrypts: false, is_web: true }),
];

fn kind(section: &Section<'_>, bind: Option<&Bind>) -> Option<Kind> {
    let kinds: &[_] = if bind.is_some_and(Bind::is_unix) { &LOCAL_KINDS } else { &KINDS };
    let usual = kinds.first().map(|(_, usual)| *usual);
    let Some(word) = section.text("transport") else { return usual };
    let kind = section.chosen("transport", &word, kinds);
    if kind.is_none() {
        // Whichever was meant, its keys are no further faults.
        section.ignore(&["tls", "quic", "insecure-plaintext"]);
    }
    kind
}

fn transport(section: &Section<'_>, kind: Kind, bind: Option<&Bind>) -> Option<Transport> {
    if kind.word == QUIC {
        if matches!(bind, Some(Bind::Systemd(_))) {
            let line = section.line_of("bind").unwrap_or_default();
            let why =
                "is a socket of systemd, in which quic is not spoken; write an address and a port";
            section.fault(line, "bind", why);
        }
        return quic::read(section, quic_tls(section, kind)).map(Transport::Quic);
    }
    section.meaningless(&["quic"], "without transport = \"quic\"; remove it");
    if kind.encrypts {
        return tls::read(section, kind.word).map(Transport::Tls);
    }
    plaintext(section, kind, bind);
    Some(Transport::Tcp)
}

/// The TLS settings of a QUIC listener, which has no choice of versions.
fn quic_tls(section: &Section<'_>, kind: Kind) -> Option<Tls> {
    section.part("tls").meaningless(
        &["min-version"],
        "with transport = \"quic\", which has TLS 1.3 only; remove it",
    );
    tls::read(section, kind.word)
}

fn plaintext(section: &Section<'_>, kind: Kind, bind: Option<&Bind>) {
    let word = kind.word;
    section.meaningless(&["tls"], &format!("with transport = \"{word}\"; remove it"));
    if bind.is_some_and(Bind::is_unix) {
        let why = "with a Unix socket, which nobody can listen to; remove it";
        section.meaningless(&["insecure-plaintext"], why);
        return;
    }
    let accepted = section.text("insecure-plaintext");
    if let Some(words) = accepted.as_ref().filter(|words| words.value != ACCEPT_PLAINTEXT) {
        let message = format!("must be exactly \"{ACCEPT_PLAINTEXT}\", or be removed");
        section.fault(words.line, "insecure-plaintext", &message);
    } else if accepted.is_none()
        && !section.has("insecure-plaintext")
        && let Some(address) = bind.filter(|bind| bind.is_exposed())
        && let Some(bind) = section.text("bind")
    {
        let message = format!(
            "\"{address}\" can be reached by others, and transport = \"{word}\" does not encrypt; use \
             transport = \"{}\", a loopback address, or insecure-plaintext = \
             \"{ACCEPT_PLAINTEXT}\"",
            if kind.is_web { "wss" } else { "tls" }
        );
        section.fault(bind.line, "bind", &message);
    }
}

fn chain(section: &Section<'_>, extensions: &[String]) -> Vec<String> {
    const HINT: &str = "name the extensions that decide who may connect, such as chain = \
                        [\"password\", \"acl\"]; without one every connection would be refused";
    let Some(chain) = roster::read(section, "chain", extensions) else {
        if !section.has("chain") {
            section.missing("chain", HINT);
        }
        return Vec::new();
    };
    if chain.is_empty()
        && let Some(line) = section.line_of("chain")
    {
        section.fault(line, "chain", &format!("is empty; {HINT}"));
    }
    chain
}
