//! Addresses of the web.

use std::net::SocketAddr;

use crate::address::is_loopback;

/// What of an address the gateway fetches: TLS, or this machine. The error ends a sentence that starts with the
/// address.
pub(crate) fn check(text: &str) -> Result<(), &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
    let (authority, tail) =
        rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len())).ok_or(FORM)?;
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !printable || tail.contains('#') || tail.contains(['"', '<', '>', '\\', '^', '`', '{', '}'])
    {
        return Err(FORM);
    }
    if authority.contains('@') {
        return Err(
            "has a user name or a password in it, which would stand in every log; leave them out",
        );
    }
    let host = host(authority).ok_or(FORM)?;
    match scheme {
        "https" => Ok(()),
        "http" if is_this_machine(host) => Ok(()),
        "http" => Err("is not encrypted, so that others could answer in its place; use https, or \
                       http for a loopback address"),
        _ => Err(FORM),
    }
}

/// The same of an address that paths are put behind.
pub(crate) fn check_base(text: &str) -> Result<(), &'static str> {
    check(text)?;
    if text.contains('?') {
        return Err("has a query in it; requests bring their own, behind this address");
    }
    if text.split('/').skip(3).any(|segment| matches!(segment, "." | "..")) {
        return Err("has a segment \".\" or \"..\"; write the path without it");
    }
    Ok(())
}

/// The name or address, without brackets, and nothing if either it or a port is none.
pub(crate) fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let at = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at_checked(at)?;
            let named = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            (named && !host.is_empty()).then_some((host, port))?
        }
    };
    let port_is_one = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(number) => number.parse::<u16>().is_ok_and(|number| number > 0),
    };
    port_is_one.then_some(host)
}

/// The port, if there is one.
pub(crate) fn port(authority: &str) -> Option<u16> {
    let behind = authority.rsplit_once(']').map_or(authority, |(_, port)| port);
    behind.rsplit_once(':')?.1.parse().ok()
}

fn is_this_machine(host: &str) -> bool {
    let address = host.parse().map(|ip| SocketAddr::new(ip, 0));
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(is_loopback)
}

const FORM: &str = "is not an address that can be fetched; write https://HOST/PATH";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_replace_on_the_way() {
        for good in [
            "https://id.example.com/.well-known/jwks.json",
            "https://id.example.com:8443/keys?v=1",
            "https://10.1.2.3",
            "https://[2001:db8::1]:444/k",
            "http://localhost:8080/keys",
            "http://127.0.0.2/",
            "http://[::1]:1/",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "id.example.com/keys",
            "ftp://id.example.com/",
            "https:///keys",
            "https://id example.com/",
            "https://id.example.com/a b",
            "https://id.example.com/#here",
            "https://id.example.com:0/",
            "https://id.example.com:x/",
            "https://[::1/",
            "https://user@id.example.com/",
            "http://id.example.com/keys",
            "http://10.0.0.1/keys",
            "http://localhost.example.com/",
            "http://localhost@evil.example/",
            "HTTPS://id.example.com/",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
