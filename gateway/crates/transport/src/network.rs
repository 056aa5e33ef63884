//! Networks of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// One of them, as IPv6; IPv4 addresses are mapped.
    first: u128,
    /// Bits that all have.
    prefix: u32,
}

/// Bits of an IPv4 address in front of which a mapped one has [`Ipv6Addr`]'s `::ffff`.
const MAPPED: u32 = 96;

impl Network {
    /// The addresses that share their first `prefix` bits with `address`; none if it has not that many.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let (bits, before) = match address {
            IpAddr::V4(_) => (32, MAPPED),
            IpAddr::V6(_) => (128, 0),
        };
        let prefix = u32::from(prefix);
        (prefix <= bits).then(|| Self { first: wide(address), prefix: before + prefix })
    }

    /// Whether it has the address. An IPv4 address that came in by IPv6 is one of IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let beyond = u128::BITS - self.prefix;
        let differing = self.first ^ wide(address.to_canonical());
        differing.checked_shr(beyond).unwrap_or(0) == 0
    }
}

fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.first);
        match address.to_ipv4_mapped() {
            Some(v4) => write!(f, "{v4}/{}", self.prefix.saturating_sub(MAPPED)),
            None => write!(f, "{address}/{}", self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_what_begins_alike() {
        for (network, prefix, address, expected) in [
            ("10.0.0.0", 8, "10.255.0.1", true),
            ("10.0.0.0", 8, "11.0.0.1", false),
            ("10.0.0.0", 8, "::ffff:10.1.2.3", true),
            ("10.0.0.0", 8, "a00::1", false),
            ("0.0.0.0", 0, "192.0.2.1", true),
            ("0.0.0.0", 0, "2001:db8::1", false),
            ("192.0.2.7", 32, "192.0.2.7", true),
            ("192.0.2.7", 32, "192.0.2.6", false),
            ("2001:db8::", 32, "2001:db8:1::1", true),
            ("2001:db8::", 32, "2001:db9::1", false),
            ("::", 0, "2001:db8::1", true),
            ("::1", 128, "::1", true),
            ("::1", 128, "::2", false),
        ] {
            let found = Network::new(network.parse().expect("an address"), prefix)
                .map(|network| network.contains(address.parse().expect("an address")));
            assert_eq!(found, Some(expected), "{network}/{prefix} {address}");
        }
        assert_eq!(Network::new("10.0.0.0".parse().expect("an address"), 33), None);
        let shown = |text: &str, prefix| {
            Network::new(text.parse().expect("an address"), prefix).map(|it| it.to_string())
        };
        assert_eq!(shown("10.0.0.0", 8).as_deref(), Some("10.0.0.0/8"));
        assert_eq!(shown("2001:db8::", 32).as_deref(), Some("2001:db8::/32"));
    }
}
