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
    /// Whether it is TLS.
    pub encrypts: bool,
}

const FORM: &str = "is not an address of a broker; write mqtts://HOST:PORT";
const HINT: &str = "say where upstream is, such as \"mqtts://broker.example.com:8883\"";

/// Addresses of a bridge at most.
const MOST: usize = 16;

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
        let shown = if text.value.contains('@') { "..." } else { text.value };
        section.fault(text.line, "url", &format!("\"{shown}\" {why}"));
    }
    parsed.ok()
}

fn parse(text: &str) -> Result<Upstream, &'static str> {
    let (scheme, authority) = text.split_once("://").ok_or(FORM)?;
    let (encrypts, usual) = match scheme {
        "mqtts" => (true, 8883),
        "mqtt" => (false, 1883),
        _ => return Err(FORM),
    };
    if authority.contains('@') {
        return Err("has a user name or a password in it; use username and password-file");
    }
    let host = url::host(authority).ok_or(FORM)?;
    let bare = authority
        .strip_prefix('[')
        .map_or(authority, |rest| rest.split_once(']').map_or(rest, |(_, port)| port));
    let port = match bare.rsplit_once(':') {
        Some((_, port)) => port.parse().map_err(|_| FORM)?,
        None => usual,
    };
    Ok(Upstream { url: text.to_owned(), host: host.to_owned(), port, encrypts })
}

fn is_this_machine(host: &str) -> bool {
    let address = host.parse().map(|ip| SocketAddr::new(ip, 0));
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(is_loopback)
}

/// Only to this machine, or in the words that a listener needs.
fn plaintext(section: &Section<'_>, all: &[Upstream], line: usize) {
    const KEY: &str = "insecure-plaintext";
    let exposed = all.iter().find(|one| !one.encrypts && !is_this_machine(&one.host));
    let accepted = section.text(KEY);
    if let Some(words) = accepted.as_ref().filter(|words| words.value != ACCEPT_PLAINTEXT) {
        let message = format!("must be exactly \"{ACCEPT_PLAINTEXT}\", or be removed");
        section.fault(words.line, KEY, &message);
    } else if accepted.is_none()
        && let Some(one) = exposed
    {
        let message = format!(
            "\"{}\" does not encrypt on a way that others share; use mqtts://, a loopback address, or \
             {KEY} = \"{ACCEPT_PLAINTEXT}\"",
            one.url
        );
        section.fault(line, "url", &message);
    } else if accepted.is_some() && all.iter().all(|one| one.encrypts) {
        section.meaningless(&[KEY], "with mqtts://; remove it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (text, host, port, encrypts) in [
            ("mqtts://cloud.example.com", "cloud.example.com", 8883, true),
            ("mqtts://cloud.example.com:443", "cloud.example.com", 443, true),
            ("mqtt://[::1]:2000", "::1", 2000, false),
            ("mqtt://[::1]", "::1", 1883, false),
            ("mqtt://10.0.0.1", "10.0.0.1", 1883, false),
        ] {
            let found = parse(text).map(|it| (it.host, it.port, it.encrypts));
            assert_eq!(found, Ok((host.to_owned(), port, encrypts)), "{text}");
        }
        for text in [
            "cloud",
            "https://a",
            "mqtts://",
            "mqtts://a:0",
            "mqtts://a:x",
            "mqtts://a/b",
            "mqtts://u:p@a",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
