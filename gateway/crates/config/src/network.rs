//! Lists of addresses and networks, such as `["10.0.0.0/8", "::1"]`.

use std::net::IpAddr;

use crate::section::Section;

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first of them; IPv4 where it was written as a mapped one.
    pub address: IpAddr,
    /// How many bits: at most 32, or 128 for IPv6.
    pub prefix: u8,
}

/// Reads a list of them; none where there is no such key.
pub(crate) fn read(section: &Section<'_>, key: &'static str) -> Vec<Network> {
    let mut networks = Vec::new();
    for text in section.texts(key).unwrap_or_default() {
        match parse(text.value) {
            Ok(network) => networks.push(network),
            Err(why) => {
                section.fault(text.line, key, &format!("holds \"{}\", which {why}", text.value));
            }
        }
    }
    networks
}

fn parse(text: &str) -> Result<Network, String> {
    const NO_NETWORK: &str = "is no address and no network; write such as \"192.0.2.7\", \"10.0.0.0/8\" or \"2001:db8::/32\"";
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| NO_NETWORK.to_owned())?;
    let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits,
        Some(prefix) => prefix
            .parse()
            .ok()
            .filter(|prefix| *prefix <= bits)
            .ok_or_else(|| format!("has no number of bits from 0 to {bits} behind the slash"))?,
    };
    // A mapped address as a whole is one of IPv4; a network of some is of no use to anybody.
    if prefix == bits && address.to_canonical() != address {
        return Ok(Network { address: address.to_canonical(), prefix: 32 });
    }
    let first = first_of(address, prefix);
    if first != address {
        return Err(format!("has bits set behind the first {prefix}; write \"{first}/{prefix}\""));
    }
    Ok(Network { address, prefix })
}

/// The address with all bits behind the first `prefix` cleared.
fn first_of(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_people_write_them() {
        for (text, address, prefix) in [
            ("192.0.2.7", "192.0.2.7", 32),
            ("10.0.0.0/8", "10.0.0.0", 8),
            ("0.0.0.0/0", "0.0.0.0", 0),
            ("::1", "::1", 128),
            ("2001:db8::/32", "2001:db8::", 32),
            ("::/0", "::", 0),
            ("::ffff:192.0.2.7", "192.0.2.7", 32),
        ] {
            let network = Network { address: address.parse().expect("an address"), prefix };
            assert_eq!(parse(text), Ok(network), "{text}");
        }
        for (text, why) in [
            ("proxy.example", "is no address"),
            ("10.0.0.0/33", "from 0 to 32"),
            ("::/129", "from 0 to 128"),
            ("10.0.0.0/", "from 0 to 32"),
            ("10.0.0.1/8", "write \"10.0.0.0/8\""),
            ("2001:db8::1/32", "write \"2001:db8::/32\""),
        ] {
            assert!(parse(text).expect_err(text).contains(why), "{text}");
        }
    }
}
