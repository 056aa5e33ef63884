use std::path::PathBuf;

use super::Upstream;
use super::address::Carrier;
use crate::section::Section;
use crate::url;

/// Whoever makes the connections of a bridge in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeProxy {
    /// What it speaks.
    pub kind: BridgeProxyKind,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Who it is told that the bridge is.
    pub username: Option<String>,
    /// The file with the password for it.
    pub password_file: Option<PathBuf>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeProxyKind {
    /// CONNECT of HTTP/1.1.
    Http,
    /// SOCKS5.
    Socks5,
}

const KEY: &str = "proxy";
const FORM: &str = "is not an address of a proxy; write http://HOST:PORT or socks5://HOST:PORT";

/// Bytes of a name for a proxy at most (RFC 1929, section 2).
const USERNAME_MAX: usize = 255;

pub(super) fn read(section: &Section<'_>, upstreams: Option<&[Upstream]>) -> Option<BridgeProxy> {
    let text = section.text(KEY);
    let username = section.text("proxy-username");
    let password_file = section.file("proxy-password-file");
    if !section.has(KEY) {
        section.meaningless(&["proxy-username", "proxy-password-file"], "without proxy; name one");
    } else if !section.has("proxy-username") {
        section.meaningless(&["proxy-password-file"], "without proxy-username; name one");
    }
    if let Some(name) = username.as_ref().filter(|name| {
        let control = name.value.bytes().any(|byte| byte.is_ascii_control());
        !(1..=USERNAME_MAX).contains(&name.value.len()) || name.value.contains(':') || control
    }) {
        let why = format!("has not from 1 to {USERNAME_MAX} bytes, or holds a colon");
        section.fault(name.line, "proxy-username", &why);
    }
    let text = text?;
    let parsed = parse(text.value);
    if let Err(why) = parsed {
        // Whoever reads the report is not to read a password in it.
        let shown = if text.value.contains('@') { "..." } else { text.value };
        section.fault(text.line, KEY, &format!("\"{shown}\" {why}"));
    }
    let quic = upstreams.into_iter().flatten().find(|one| one.carrier == Carrier::Quic);
    if let Some(quic) = quic {
        let why = format!(
            "takes TCP, and \"{}\" is QUIC; use mqtts:// or wss:// in its place, or remove proxy",
            quic.url
        );
        section.fault(text.line, KEY, &why);
    }
    let (kind, host, port) = parsed.ok()?;
    Some(BridgeProxy {
        kind,
        host,
        port,
        username: username.map(|name| name.value.to_owned()),
        password_file,
    })
}

fn parse(text: &str) -> Result<(BridgeProxyKind, String, u16), &'static str> {
    let (scheme, authority) = text.split_once("://").ok_or(FORM)?;
    let kind = match scheme {
        "http" => BridgeProxyKind::Http,
        "socks5" => BridgeProxyKind::Socks5,
        _ => return Err(FORM),
    };
    if authority.contains('@') {
        return Err(
            "has a user name or a password in it; use proxy-username and proxy-password-file",
        );
    }
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let host = url::host(authority).ok_or(FORM)?;
    let port = url::port(authority).ok_or(FORM)?;
    Ok((kind, host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_scheme_a_host_and_a_port() {
        use BridgeProxyKind::{Http, Socks5};
        for (text, kind, host, port) in [
            ("http://proxy.plant:3128", Http, "proxy.plant", 3128),
            ("http://10.0.0.1:8080/", Http, "10.0.0.1", 8080),
            ("socks5://[fd00::1]:1080", Socks5, "fd00::1", 1080),
        ] {
            assert_eq!(parse(text), Ok((kind, host.to_owned(), port)));
        }
        for text in [
            "proxy:3128",
            "http://proxy",
            "http://proxy:0",
            "https://proxy:3128",
            "socks4://proxy:1080",
            "http://me:secret@proxy:3128",
            "http://proxy:3128/path",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
