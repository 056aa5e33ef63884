//! `[listeners.NAME]`: where clients connect.

use std::net::SocketAddr;
use std::time::Duration;

use crate::address::is_loopback;
use crate::roster;
use crate::section::Section;
use crate::tls::{self, Tls};
use crate::topics::{DURABILITIES, Durability};

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the file.
    pub name: String,
    /// Address and port; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// What is spoken below MQTT.
    pub transport: Transport,
    /// The extensions that decide who may connect, in the order in which they are asked: at least
    /// one, each of them configured.
    pub chain: Vec<String>,
    /// Connections at a time.
    pub max_connections: u32,
    /// Time for handshake and CONNECT together.
    pub connect_timeout: Duration,
    /// Whether clients may speak MQTT 3.1 as well as 3.1.1 and 5.
    pub mqtt_3_1: bool,
    /// What the acknowledgements of QoS 1 publishes wait for, where topics say nothing else.
    pub durability: Durability,
}

/// What is spoken below MQTT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Plain TCP: on a loopback address, or accepted in so many words ([`ACCEPT_PLAINTEXT`]).
    Tcp,
    /// TLS over TCP.
    Tls(Tls),
}

/// What `insecure-plaintext` must say for plain TCP on an address that others can reach.
pub const ACCEPT_PLAINTEXT: &str = "I accept that passwords and data travel unencrypted";

/// More than one site has devices; at 15 kB each, all of them fit the smallest supported box.
const DEFAULT_MAX_CONNECTIONS: u32 = 10_000;

/// A handshake over a bad radio link takes seconds; longer is somebody holding a slot.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
    let bind = bind(section);
    let transport = transport(section, bind);
    let chain = chain(section, extensions);
    let max_connections = section.number("max-connections", DEFAULT_MAX_CONNECTIONS, 1..=1_000_000);
    let connect_timeout = section.duration(
        "connect-timeout",
        DEFAULT_CONNECT_TIMEOUT,
        Duration::from_secs(1)..=Duration::from_secs(120),
    );
    let mqtt_3_1 = section.flag("mqtt-3-1", false);
    let durability = section.choice("durability", Durability::Strict, &DURABILITIES);
    section.finish();
    Some(Listener {
        name,
        bind: bind?,
        transport: transport?,
        chain,
        max_connections,
        connect_timeout,
        mqtt_3_1,
        durability,
    })
}

fn bind(section: &Section<'_>) -> Option<SocketAddr> {
    let text = section.required("bind", "say where to listen, such as bind = \"0.0.0.0:8883\"")?;
    let address = text.value.parse().ok();
    if address.is_none() {
        let message = format!(
            "\"{}\" is not an address and a port; write \"0.0.0.0:8883\", or \"[::]:8883\" for IPv6",
            text.value
        );
        section.fault(text.line, "bind", &message);
    }
    address
}

fn transport(section: &Section<'_>, bind: Option<SocketAddr>) -> Option<Transport> {
    let kind = match section.text("transport") {
        Some(word) => section.chosen("transport", &word, &[("tls", Kind::Tls), ("tcp", Kind::Tcp)]),
        None => Some(Kind::Tls),
    };
    match kind {
        Some(Kind::Tls) => tls::read(section).map(Transport::Tls),
        Some(Kind::Tcp) => {
            plaintext(section, bind);
            Some(Transport::Tcp)
        }
        None => {
            // Whichever was meant, its keys are no further faults.
            section.ignore(&["tls", "insecure-plaintext"]);
            None
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Tls,
    Tcp,
}

fn plaintext(section: &Section<'_>, bind: Option<SocketAddr>) {
    section.meaningless(&["tls"], "with transport = \"tcp\"; remove it");
    let accepted = section.text("insecure-plaintext");
    if let Some(words) = accepted.as_ref().filter(|words| words.value != ACCEPT_PLAINTEXT) {
        let message = format!("must be exactly \"{ACCEPT_PLAINTEXT}\", or be removed");
        section.fault(words.line, "insecure-plaintext", &message);
    } else if accepted.is_none()
        && !section.has("insecure-plaintext")
        && let Some(address) = bind.filter(|address| !is_loopback(*address))
        && let Some(bind) = section.text("bind")
    {
        let message = format!(
            "\"{address}\" can be reached by others, and transport = \"tcp\" does not encrypt; use \
             transport = \"tls\", a loopback address, or insecure-plaintext = \
             \"{ACCEPT_PLAINTEXT}\""
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
