//! The header, in binary (haproxy.org, proxy-protocol.txt, section 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::proxy::error::ProxyError;

/// What a proxy says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// It is the proxy's own, such as a check of our health; or the proxy does not know.
    Own,
    /// It is passed on.
    Of {
        /// Whose it is.
        source: SocketAddr,
        /// What its peer wanted to reach.
        destination: SocketAddr,
    },
}

/// What the first bytes of a header say of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyRest {
    /// Bytes that follow.
    pub length: usize,
    proxied: bool,
    family: u8,
}

/// Bytes before the part whose length they say.
pub(crate) const FIXED: usize = 16;

/// Bytes of a header at most. Addresses take up to 216; the rest is for extensions, of which proxies send a
/// few hundred bytes at most.
pub(crate) const HEADER_MAX: usize = 4 * 1024;

/// What every header begins with, and no other protocol that is spoken here.
pub(crate) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The kind of the extension that is a checksum of the header.
const CRC32C: u8 = 0x03;

impl ProxyRest {
    /// Reads the fixed part.
    ///
    /// # Errors
    /// If it is not that of a header, of this version and with a stream in it, or says too great a length.
    pub fn read(fixed: &[u8; FIXED]) -> Result<Self, ProxyError> {
        let [signature @ .., version_command, family, high, low] = fixed;
        if *signature != SIGNATURE {
            return Err(ProxyError::Missing);
        }
        if version_command >> 4 != 2 {
            return Err(ProxyError::Version(version_command >> 4));
        }
        let proxied = match version_command & 0x0F {
            0 => false,
            1 => true,
            other => return Err(ProxyError::Command(other)),
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if FIXED + length > HEADER_MAX {
            return Err(ProxyError::TooLong(FIXED + length));
        }
        Ok(Self { length, proxied, family: *family })
    }
}

impl ProxyHeader {
    /// Reads a whole header; `rest` is what `fixed` announced.
    ///
    /// # Errors
    /// If it is not well-formed, its checksum is wrong, or it is about something else than a stream.
    pub fn read(fixed: &[u8; FIXED], rest: &[u8]) -> Result<Self, ProxyError> {
        let announced = ProxyRest::read(fixed)?;
        if announced.length != rest.len() {
            return Err(ProxyError::Truncated);
        }
        let (header, extensions) = match (announced.proxied, announced.family) {
            // What a health check says of addresses is to be skipped, and so is what cannot be known.
            (false, _) | (true, 0x00) => (Self::Own, skip_addresses(announced.family, rest)?),
            (true, 0x11) => {
                let (addresses, extensions) =
                    rest.split_first_chunk::<12>().ok_or(ProxyError::Truncated)?;
                (Self::of_v4(addresses), extensions)
            }
            (true, 0x21) => {
                let (addresses, extensions) =
                    rest.split_first_chunk::<36>().ok_or(ProxyError::Truncated)?;
                (Self::of_v6(addresses), extensions)
            }
            // A client that came to the proxy by a Unix socket has no address.
            (true, 0x31) => (Self::Own, skip_addresses(0x31, rest)?),
            (true, other) => return Err(ProxyError::Family(other)),
        };
        check_extensions(fixed, rest, extensions)?;
        Ok(header)
    }

    fn of_v4(addresses: &[u8; 12]) -> Self {
        let [a, b, c, d, e, f, g, h, from_high, from_low, to_high, to_low] = *addresses;
        Self::Of {
            source: address(Ipv4Addr::new(a, b, c, d), [from_high, from_low]),
            destination: address(Ipv4Addr::new(e, f, g, h), [to_high, to_low]),
        }
    }

    fn of_v6(addresses: &[u8; 36]) -> Self {
        let (both, ports) = addresses.split_at(32);
        let (source, destination) = both.split_at(16);
        let v6 = |bytes: &[u8]| {
            Ipv6Addr::from_bits(bytes.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte)))
        };
        let port = |from: usize| {
            let mut bytes = [0; 2];
            bytes.iter_mut().zip(ports.iter().skip(from)).for_each(|(to, byte)| *to = *byte);
            bytes
        };
        Self::Of {
            source: address(v6(source), port(0)),
            destination: address(v6(destination), port(2)),
        }
    }
}

/// An IPv4 address that a proxy saw by IPv6 is one of IPv4.
fn address(ip: impl Into<IpAddr>, port: [u8; 2]) -> SocketAddr {
    SocketAddr::new(ip.into().to_canonical(), u16::from_be_bytes(port))
}

/// What comes behind the addresses of this family. Of a family without addresses that is everything.
fn skip_addresses(family: u8, rest: &[u8]) -> Result<&[u8], ProxyError> {
    let length = match family >> 4 {
        0 => 0,
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return Err(ProxyError::Family(family)),
    };
    // Who says nothing of addresses may leave them out.
    match rest {
        [] => Ok(rest),
        _ => rest.get(length..).ok_or(ProxyError::Truncated),
    }
}

/// Checks that extensions fill the rest, and the checksum among them, if any. All others are skipped.
fn check_extensions(
    fixed: &[u8; FIXED],
    rest: &[u8],
    mut extensions: &[u8],
) -> Result<(), ProxyError> {
    while let [kind, high, low, more @ ..] = extensions {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, others) = more.split_at_checked(length).ok_or(ProxyError::Truncated)?;
        if *kind == CRC32C {
            let stated = <[u8; 4]>::try_from(value).map_err(|_| ProxyError::Checksum)?;
            let at = rest.len() - others.len() - stated.len();
            // It was computed with zeros in its own place.
            let zeroed = rest.iter().enumerate().map(|(number, byte)| {
                if (at..at + stated.len()).contains(&number) { 0 } else { *byte }
            });
            if crc32c(fixed.iter().copied().chain(zeroed)) != u32::from_be_bytes(stated) {
                return Err(ProxyError::Checksum);
            }
        }
        extensions = others;
    }
    if extensions.is_empty() { Ok(()) } else { Err(ProxyError::Truncated) }
}

/// CRC-32C (RFC 3720 appendix B.4), a bit at a time: it is asked for once a connection, if ever.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xE306_9283);
        assert_eq!(crc32c([0; 32].into_iter()), 0x8A91_36AA);
    }
}
