use std::net::SocketAddr;

use crate::ACCEPT_PLAINTEXT;
use crate::address::is_loopback;
use crate::section::{Located, Section};
use crate::url;

/// An address of upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// As the file has it.
    pub url: String,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether it is encrypted.
    pub encrypts: bool,
    /// What carries MQTT there.
    pub carrier: Carrier,
}

/// What carries MQTT to upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TCP, or TLS over it.
    Tcp,
    /// A WebSocket over TCP or TLS.
    Web {
        /// Where it is, from the first slash on.
        path: String,
    },
    /// QUIC.
    Quic,
}

const FORM: &str = "is not an address of a broker; write mqtts://HOST:PORT, quic://HOST:PORT or wss://HOST:PORT/PATH";
const HINT: &str = "say where upstream is, such as \"mqtts://broker.example.com:8883\"";

/// Addresses of a bridge at most.
const MOST: usize = 16;

/// Where the WebSocket of a broker is, unless its address says so.
const PATH: &str = "/mqtt";

pub(super) fn read(section: &Section<'_>) -> Option<Vec<Upstream>> {
    let texts: Vec<Located<&str>> = match (section.text("url"), section.texts("urls")) {
        (Some(url), None) => vec![url],
        (None, Some(urls)) => urls,
        (None, None) => {
            if !section.has("url") && !section.has("urls") {
                section.missing("url", HINT);
            }
            return None;
        }
        (Some(url), Some(_)) => {
            section.fault(url.line, "url", "stands beside urls; put all addresses into urls");
            return None;
        }
    };
    if texts.is_empty() || texts.len() > MOST {
        let line = section.line_of("urls").unwrap_or_default();
        section.fault(line, "urls", &format!("has not from 1 to {MOST} addresses"));
        return None;
    }
    let all: Vec<_> = texts.iter().filter_map(|text| one(section, text)).collect();
    plaintext(section, &all, texts.first().map_or(0, |text| text.line));
    (all.len() == texts.len()).then_some(all)
}

fn one(section: &Section<'_>, text: &Located<&str>) -> Option<Upstream> {
    let parsed = parse(text.value);
    if let Err(why) = parsed {
        // Whoever reads the report is not to read a password in it.
        let shown = if text.value.contains(['@', '?']) { "..." } else { text.value };
        section.fault(text.line, "url", &format!("\"{shown}\" {why}"));
    }
    parsed.ok()
}

fn parse(text: &str) -> Result<Upstream, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("has a user name or a password in it; use username and password-file");
    }
    let (encrypts, usual, carrier) = match scheme {
        "mqtts" => (true, 8883, Carrier::Tcp),
        "mqtt" => (false, 1883, Carrier::Tcp),
        "quic" => (true, 14_567, Carrier::Quic),
        "wss" => (true, 443, Carrier::Web { path: web_path(path)? }),
        "ws" => (false, 80, Carrier::Web { path: web_path(path)? }),
        _ => return Err(FORM),
    };
    if !path.is_empty() && !matches!(carrier, Carrier::Web { .. }) {
        return Err(FORM);
    }
    let host = url::host(authority).ok_or(FORM)?;
    let port = url::port(authority).unwrap_or(usual);
    Ok(Upstream { url: text.to_owned(), host: host.to_owned(), port, encrypts, carrier })
}

/// What a request can ask for as it is.
fn web_path(path: &str) -> Result<String, &'static str> {
    if path.contains('?') {
        return Err("has a query in it, which would stand in every log; leave it out");
    }
    let sound =
        path.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte));
    match path {
        "" => Ok(PATH.to_owned()),
        path if sound => Ok(path.to_owned()),
        _ => Err("has a path with characters in it that have to be encoded with %"),
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.parse().map(|ip| SocketAddr::new(ip, 0));
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(is_loopback)
}

/// Only to this machine, or in the words that a listener needs. What a proxy calls localhost is not this machine.
fn plaintext(section: &Section<'_>, all: &[Upstream], line: usize) {
    const KEY: &str = "insecure-plaintext";
    let stays_here = |host: &str| is_this_machine(host) && !section.has("proxy");
    let exposed = all.iter().find(|one| !one.encrypts && !stays_here(&one.host));
    let accepted = section.text(KEY);
    if let Some(words) = accepted.as_ref().filter(|words| words.value != ACCEPT_PLAINTEXT) {
        let message = format!("must be exactly \"{ACCEPT_PLAINTEXT}\", or be removed");
        section.fault(words.line, KEY, &message);
    } else if accepted.is_none()
        && let Some(one) = exposed
    {
        let message = format!(
            "\"{}\" does not encrypt on a way that others share; use mqtts:// or wss://, a loopback address, or \
             {KEY} = \"{ACCEPT_PLAINTEXT}\"",
            one.url
        );
        section.fault(line, "url", &message);
    } else if accepted.is_some() && all.iter().all(|one| one.encrypts) {
        section.meaningless(&[KEY], "where everything is encrypted; remove it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_ports_and_paths_are_told_apart() {
        let web = |path: &str| Carrier::Web { path: path.to_owned() };
        for (text, host, port, encrypts, carrier) in [
            ("mqtts://cloud.example.com", "cloud.example.com", 8883, true, Carrier::Tcp),
            ("mqtts://cloud.example.com:443", "cloud.example.com", 443, true, Carrier::Tcp),
            ("mqtt://[::1]:2000", "::1", 2000, false, Carrier::Tcp),
            ("mqtt://[::1]", "::1", 1883, false, Carrier::Tcp),
            ("mqtt://10.0.0.1", "10.0.0.1", 1883, false, Carrier::Tcp),
            ("quic://cloud.example.com", "cloud.example.com", 14_567, true, Carrier::Quic),
            ("quic://[fd00::1]:443", "fd00::1", 443, true, Carrier::Quic),
            ("wss://cloud.example.com", "cloud.example.com", 443, true, web("/mqtt")),
            (
                "wss://cloud.example.com:8084/a/$b@c",
                "cloud.example.com",
                8084,
                true,
                web("/a/$b@c"),
            ),
            ("ws://127.0.0.1/", "127.0.0.1", 80, false, web("/")),
        ] {
            let found = parse(text).map(|it| (it.host, it.port, it.encrypts, it.carrier));
            assert_eq!(found, Ok((host.to_owned(), port, encrypts, carrier)), "{text}");
        }
        for text in [
            "cloud",
            "https://a",
            "mqtts://",
            "mqtts://a:0",
            "mqtts://a:x",
            "mqtts://a/b",
            "mqtts://a/",
            "quic://a/b",
            "mqtts://u:p@a",
            "wss://u:p@a/b",
            "wss://a/b?c=d",
            "wss://a/b#c",
            "wss://a/b c",
            "wss:///b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
