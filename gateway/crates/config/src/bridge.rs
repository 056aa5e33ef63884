//! `[bridges.NAME]`: brokers elsewhere with which messages are exchanged.

mod address;
mod budget;
mod credential;
mod fit;
mod limits;
mod packing;
mod probe;
mod profile;
mod proxy;
mod rules;
mod windows;

use std::path::PathBuf;
use std::time::Duration;

use bridge::{Bounds, Pace, Rule, Timetable};

use crate::CertificateFiles;
use crate::roster;
use crate::section::Section;

pub use address::{Carrier, Upstream};
pub use budget::Budget;
pub use credential::{BridgeCredential, BridgeSas, BridgeToken};
pub use probe::BridgeProbe;
pub use proxy::{BridgeProxy, BridgeProxyKind};

/// One bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its name in the file.
    pub name: String,
    /// Where upstream is: at least one, in the order in which they are tried.
    pub upstreams: Vec<Upstream>,
    /// The client identifier for upstream; one of this gateway's own if `None`.
    pub client_id: Option<String>,
    /// The user name for upstream.
    pub username: Option<String>,
    /// What it is shown besides a certificate.
    pub credential: BridgeCredential,
    /// Whoever makes its connections.
    pub proxy: Option<BridgeProxy>,
    /// How TLS is spoken, where it is.
    pub tls: BridgeTls,
    /// The version of MQTT.
    pub version: BridgeVersion,
    /// Seconds of silence after which upstream is asked whether it is there; 0 never asks.
    pub keep_alive: u16,
    /// Time to be connected, and then for the answer to CONNECT.
    pub connect_timeout: Duration,
    /// Time to be connected by QUIC; less than the other if anything.
    pub quic_timeout: Duration,
    /// The shortest wait between two attempts.
    pub retry_min: Duration,
    /// The longest.
    pub retry_max: Duration,
    /// How long a later address is used before an earlier one is tried again.
    pub fail_back: Duration,
    /// Unconfirmed messages in each direction.
    pub receive_maximum: u16,
    /// Bytes of the largest packet for upstream, where it announces no less.
    pub max_packet_size: u32,
    /// What upstream takes besides that.
    pub bounds: Bounds,
    /// Gateways that a message may have come by.
    pub max_hops: u8,
    /// Whether upstream is told which gateway this is.
    pub announce: bool,
    /// How fast messages go upstream.
    pub pace: Pace,
    /// When it may be connected, and when messages of its rules go.
    pub timetable: Timetable,
    /// The topic below which refused messages are published here.
    pub refused_topic: String,
    /// Topic aliases towards upstream, where it takes as many.
    pub topic_aliases: u16,
    /// How upstream is asked whether it routes messages, if it is.
    pub probe: Option<BridgeProbe>,
    /// The extensions that see what goes upstream before it does, in their order.
    pub extensions: Vec<String>,
    /// What may wait for upstream in each of its sessions, where that is not as for any session.
    pub budget: Budget,
    /// What goes upstream.
    pub outward: Vec<Rule>,
    /// What may wait of each of these, where that is limited.
    pub budgets: Vec<Budget>,
    /// What is fetched from there.
    pub inward: Vec<Rule>,
}

/// TLS as a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeTls {
    /// PEM file with the authorities that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// What upstream is shown.
    pub identity: Option<CertificateFiles>,
    /// The name that upstream must prove, where that is not the host.
    pub server_name: Option<String>,
    /// Application protocols to offer.
    pub alpn: Vec<String>,
}

/// The version of MQTT that a bridge speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeVersion {
    /// MQTT 5, and 3.1.1 where upstream does not know it and no rules loop.
    V5,
    /// MQTT 3.1.1.
    V3_1_1,
}

const CLIENT_ID_BYTES_MAX: usize = 256;

/// `extensions` are the names to which bridges can refer.
pub(crate) fn read(root: &Section<'_>, extensions: &[String]) -> Vec<Bridge> {
    let sections = root.named("bridges", "bridge");
    let one = |(name, section): (String, Section<'_>)| read_one(name, &section, extensions);
    sections.into_iter().filter_map(one).collect()
}

fn read_one(name: String, section: &Section<'_>, extensions: &[String]) -> Option<Bridge> {
    let profile = profile::read(section);
    let upstreams = address::read(section);
    let encrypts = upstreams.as_ref().is_none_or(|all| all.iter().any(|one| one.encrypts));
    let mut tls = tls(section, encrypts);
    let versions = [("5.0", BridgeVersion::V5), ("3.1.1", BridgeVersion::V3_1_1)];
    let version = section.choice("version", profile.version, &versions);
    let seconds = |s: u64| Duration::from_secs(s);
    let keep_alive = section.duration("keep-alive", seconds(60), seconds(0)..=seconds(65_535));
    let connect_timeout =
        section.duration("connect-timeout", seconds(30), seconds(1)..=seconds(600));
    let quic_timeout = quic_timeout(section, upstreams.as_deref()).min(connect_timeout);
    let (retry_min, retry_max) = retries(section, profile.retry.0);
    let fail_back = section.duration("fail-back", seconds(300), seconds(1)..=seconds(24 * 3600));
    let receive_maximum = section.number("receive-maximum", profile.in_flight.min(100), 1..=10_000);
    let max_packet_size = section.size("max-packet-size", profile.packet.into(), 1024..=256 << 20);
    let max_hops = section.number("max-hops", 8, 1..=100);
    let announce = section.flag("announce", profile.announces);
    let (client_id, mut username) = (client_id(section), short(section, "username"));
    if let Some(upstreams) = &upstreams {
        username = username.or_else(|| fit::username(profile, upstreams, client_id.as_deref()));
        fit::alpn(profile, upstreams, &mut tls);
    }
    let credential = credential::read(section, username.as_ref(), version);
    let proxy = proxy::read(section, upstreams.as_deref());
    let (pace, budget) = (limits::read(section, profile), budget::read(section));
    let refused_topic = refused_topic(section, &name);
    let topic_aliases = section.number("topic-aliases", 32, 0..=1000);
    let probe = probe::read(section);
    let extensions = roster::read(section, "extensions", extensions).unwrap_or_default();
    let rules = rules::read(section, version, profile);
    section.finish();
    let rules::Rules { outward, budgets, inward, timetable } = rules?;
    let bridge = Bridge {
        name,
        upstreams: upstreams?,
        client_id,
        username,
        credential,
        proxy,
        tls,
        version,
        keep_alive: u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX),
        connect_timeout,
        quic_timeout,
        retry_min,
        retry_max,
        fail_back,
        receive_maximum,
        max_packet_size: u32::try_from(max_packet_size).unwrap_or(u32::MAX),
        bounds: profile.bounds,
        max_hops,
        announce,
        pace,
        timetable,
        refused_topic,
        topic_aliases,
        probe,
        extensions,
        budget,
        outward,
        budgets,
        inward,
    };
    fit::check(section, profile, &bridge);
    Some(bridge)
}

/// A way on which UDP is dropped shows by silence only; the next address is not to wait for that as long as for TCP.
fn quic_timeout(section: &Section<'_>, upstreams: Option<&[Upstream]>) -> Duration {
    const USUAL: Duration = Duration::from_secs(5);
    let range = Duration::from_millis(500)..=Duration::from_secs(600);
    if upstreams.is_some_and(|all| all.iter().all(|one| one.carrier != Carrier::Quic)) {
        section.meaningless(&["quic-timeout"], "without an address of quic://; remove it");
        return USUAL;
    }
    section.duration("quic-timeout", USUAL, range)
}

/// The shortest and the longest wait between two attempts.
fn retries(section: &Section<'_>, shortest: Duration) -> (Duration, Duration) {
    let range = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);
    let least = section.duration("retry-min", shortest, range.clone());
    let most = section.duration("retry-max", Duration::from_secs(60), range);
    if let (true, Some(line)) =
        (least > most, section.line_of("retry-min").or(section.line_of("retry-max")))
    {
        section.fault(line, "retry-min", "is longer than retry-max; lower it or raise the other");
    }
    (least, most)
}

fn tls(section: &Section<'_>, encrypts: bool) -> BridgeTls {
    if !encrypts {
        section.meaningless(&["tls"], "where nothing is encrypted; remove it");
        return BridgeTls::default();
    }
    let tls = section.part("tls");
    let (ca, cert, key) = (tls.file("ca"), tls.file("cert"), tls.file("key"));
    let server_name = tls.text("server-name").map(|text| text.value.to_owned());
    let alpn = tls.texts("alpn").unwrap_or_default();
    for name in alpn.iter().filter(|name| !(1..=255).contains(&name.value.len())) {
        tls.fault(name.line, "alpn", "holds a name that has not from 1 to 255 bytes");
    }
    let alpn = alpn.into_iter().map(|name| name.value.to_owned()).collect();
    for (one, other) in [("cert", "key"), ("key", "cert")] {
        if tls.has(one) && !tls.has(other) {
            tls.missing(other, &format!("name it beside {one}, or remove that"));
        }
    }
    tls.finish();
    let identity = cert.zip(key).map(|(cert, key)| CertificateFiles { cert, key });
    BridgeTls { ca, identity, server_name, alpn }
}

fn client_id(section: &Section<'_>) -> Option<String> {
    let id = short(section, "client-id")?;
    if id.is_empty() {
        let line = section.line_of("client-id").unwrap_or_default();
        let why = "is empty, and upstream could not go on with its session; remove it for one of this gateway's own";
        section.fault(line, "client-id", why);
    }
    Some(id)
}

/// A text that a packet has room for.
fn short(section: &Section<'_>, key: &'static str) -> Option<String> {
    let text = section.text(key)?;
    if text.value.len() > CLIENT_ID_BYTES_MAX || text.value.contains('\0') {
        let why = format!("has more than {CLIENT_ID_BYTES_MAX} bytes, or one that is 0");
        section.fault(text.line, key, &why);
    }
    Some(text.value.to_owned())
}

fn refused_topic(section: &Section<'_>, name: &str) -> String {
    let usual = format!("$bridge/{name}/refused");
    let Some(text) = section.text("refused-topic") else { return usual };
    let topic = text.value.trim_end_matches('/');
    let is_system = topic == "$SYS" || topic.starts_with("$SYS/") || topic.starts_with("$CONTROL");
    if mqtt::TopicName::new(topic).is_err() || is_system {
        let why = format!(
            "\"{}\" is no topic that messages can be published below; it has no wildcards and is none of \
             the gateway's own",
            text.value
        );
        section.fault(text.line, "refused-topic", &why);
    }
    topic.to_owned()
}
