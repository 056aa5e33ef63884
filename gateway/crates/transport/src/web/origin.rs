//! Whether the page that a browser speaks for may connect.

use std::net::IpAddr;

/// Whether a request from a page of `origin` may be let in. `host` is what the request calls the gateway.
///
/// A page of the gateway's own host may, since whoever serves it there could do worse. Without TLS that
/// counts for addresses and `localhost` only: any other name may be the attacker's own, pointed here for a
/// moment (DNS rebinding), where TLS would have asked for a certificate of that name.
pub(crate) fn is_allowed(origin: &str, host: &str, encrypted: bool, listed: &[String]) -> bool {
    if listed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin)) {
        return true;
    }
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let (page, own) = (without_port(authority), without_port(host));
    let trusted = encrypted || own.eq_ignore_ascii_case("localhost") || is_address(own);
    trusted && !own.is_empty() && page.eq_ignore_ascii_case(own)
}

/// The name or address of `name:port`, brackets of an IPv6 address included.
fn without_port(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

fn is_address(host: &str) -> bool {
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_pages_and_those_of_the_same_host_may() {
        let listed = ["https://panel.example:8443".to_owned()];
        for (origin, host, encrypted, expected) in [
            ("https://panel.example:8443", "gw.example", true, true),
            ("HTTPS://Panel.Example:8443", "gw.example", false, true),
            ("https://panel.example", "gw.example", true, false),
            ("https://gw.example", "gw.example:8084", true, true),
            ("https://gw.example.evil", "gw.example:8084", true, false),
            ("https://evil.example", "gw.example", true, false),
            ("null", "gw.example", true, false),
            ("", "", true, false),
            ("https://", "", true, false),
            ("http://evil.example", "evil.example:8083", false, false),
            ("http://127.0.0.1:3000", "127.0.0.1:8083", false, true),
            ("http://[::1]:3000", "[::1]:8083", false, true),
            ("http://[::2]:3000", "[::1]:8083", false, false),
            ("http://localhost:3000", "localhost:8083", false, true),
        ] {
            let allowed = is_allowed(origin, host, encrypted, &listed);
            assert_eq!(allowed, expected, "{origin} {host} {encrypted}");
        }
        assert!(is_allowed("null", "gw.example", false, &["null".to_owned()]));
        assert!(is_allowed("http://any.example", "gw.example", false, &["*".to_owned()]));
    }
}
