use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// The first of them, as IPv6; IPv4 addresses are mapped.
    first: u128,
    /// Bits that all have, those in front of a mapped address included.
    bits: u8,
}

/// Bits of a mapped address in front of those of IPv4.
const MAPPED: u8 = 96;

/// What counts as one address, and as the network around it: a host with IPv6 has a whole /64 to itself, a site a
/// /48 as a rule.
const V4: [u8; 2] = [32, 24];
const V6: [u8; 2] = [64, 48];

impl Network {
    /// The addresses that share their first `prefix` bits with `address`; none if it has not that many.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let (most, before) = if address.is_ipv4() { (32, MAPPED) } else { (128, 0) };
        (prefix <= most).then(|| Self::sharing(wide(address), before.saturating_add(prefix)))
    }

    /// What counts as the address of a connection, and what as the network around it.
    #[must_use]
    pub fn around(address: IpAddr) -> [Self; 2] {
        let address = address.to_canonical();
        let (prefixes, before) = if address.is_ipv4() { (V4, MAPPED) } else { (V6, 0) };
        prefixes.map(|prefix| Self::sharing(wide(address), before.saturating_add(prefix)))
    }

    /// Whether it has the address. An IPv4 address that came in by IPv6 is one of IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::sharing(wide(address.to_canonical()), self.bits) == *self
    }

    /// The one with so many bits that has the address.
    pub(crate) fn with(address: IpAddr, bits: u8) -> Self {
        Self::sharing(wide(address.to_canonical()), bits)
    }

    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }

    fn sharing(address: u128, bits: u8) -> Self {
        let beyond = u128::BITS.saturating_sub(u32::from(bits));
        let mask = u128::MAX.checked_shl(beyond).unwrap_or(0);
        Self { first: address & mask, bits }
    }
}

fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl fmt::Display for Network {
    /// `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/64`: without a prefix where it is one address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.first);
        let is_v4 = self.bits >= MAPPED && address.to_ipv4_mapped().is_some();
        match address.to_ipv4_mapped().filter(|_| is_v4) {
            Some(v4) if self.bits == 128 => write!(f, "{v4}"),
            Some(v4) => write!(f, "{v4}/{}", self.bits.saturating_sub(MAPPED)),
            None if self.bits == 128 => write!(f, "{address}"),
            None => write!(f, "{address}/{}", self.bits),
        }
    }
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// It is neither an address nor an address with a number of bits.
    NoNetwork,
    /// It names more bits than its address has.
    Bits {
        /// The most that it has.
        most: u8,
    },
    /// Bits behind the prefix are set.
    Beyond {
        /// What was meant.
        meant: Network,
    },
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNetwork => f.write_str(
                "is no address and no network; write such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48",
            ),
            Self::Bits { most } => {
                write!(f, "has no number of bits from 0 to {most} behind the slash")
            }
            Self::Beyond { meant } => write!(f, "has bits set behind its prefix; write {meant}"),
        }
    }
}

impl std::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::NoNetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) => digits.parse().map_err(|_| NetworkError::Bits { most })?,
        };
        let meant = Self::new(address, prefix).ok_or(NetworkError::Bits { most })?;
        if meant.first == wide(address) { Ok(meant) } else { Err(NetworkError::Beyond { meant }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_shown_as_people_write_them() {
        for text in ["192.0.2.7", "10.0.0.0/8", "0.0.0.0/0", "::1", "2001:db8::/32", "::/0"] {
            let network: Network = text.parse().expect(text);
            assert_eq!(network.to_string(), text);
        }
        let mapped: Network = "::ffff:192.0.2.7".parse().expect("an address");
        assert_eq!(mapped.to_string(), "192.0.2.7");
        for (text, why) in [
            ("proxy.example", "is no address"),
            ("10.0.0.0/33", "from 0 to 32"),
            ("10.0.0.0/", "from 0 to 32"),
            ("10.0.0.1/8", "write 10.0.0.0/8"),
        ] {
            let error = text.parse::<Network>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_host_is_an_address_or_a_64() {
        let around = |text: &str| {
            Network::around(text.parse().expect("an address")).map(|network| network.to_string())
        };
        assert_eq!(around("192.0.2.7"), ["192.0.2.7", "192.0.2.0/24"]);
        assert_eq!(around("::ffff:192.0.2.7"), ["192.0.2.7", "192.0.2.0/24"]);
        assert_eq!(around("2001:db8:1:2:3::4"), ["2001:db8:1:2::/64", "2001:db8:1::/48"]);
    }

    #[test]
    fn a_network_has_what_begins_alike() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ] {
            let network: Network = network.parse().expect("a network");
            let found = network.contains(address.parse().expect("an address"));
            assert_eq!(found, expected, "{network} {address}");
        }
    }
}
