//! What the certificates of a private authority say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use time::OffsetDateTime;

use super::{DAY_S, PkiError, Purpose};
use crate::identity::hex;

/// The authority, which may sign certificates of ends and revocation lists, not of other authorities.
pub(super) fn authority(
    name: Option<&str>,
    now: SystemTime,
    validity: Duration,
) -> Result<CertificateParams, PkiError> {
    let name = match name {
        Some(name) => checked(name)?.to_owned(),
        // Clients that trust several sites tell their authorities apart by name.
        None => format!("Portcullis private CA {}", hex(&random::<4>()?)),
    };
    let mut params = blank(&name, now, validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A server by all its names.
pub(super) fn server(
    name: &str,
    names: &[SanType],
    now: SystemTime,
    validity: Duration,
) -> Result<CertificateParams, PkiError> {
    let mut params = leaf(Purpose::Server, now, validity)?;
    // Clients look at the alternative names only; the common name is for people, and shorter.
    let common = if name.chars().count() <= COMMON_NAME_MAX { name } else { "portcullis" };
    params.distinguished_name.push(DnType::CommonName, common);
    params.subject_alt_names = names.to_vec();
    Ok(params)
}

/// A client by its common name.
pub(super) fn client(
    name: &str,
    now: SystemTime,
    validity: Duration,
) -> Result<CertificateParams, PkiError> {
    let mut params = leaf(Purpose::Client, now, validity)?;
    params.distinguished_name.push(DnType::CommonName, checked(name)?);
    Ok(params)
}

/// Characters of a common name at most (RFC 5280, ub-common-name).
const COMMON_NAME_MAX: usize = 64;

fn checked(name: &str) -> Result<&str, PkiError> {
    let fits = (1..=COMMON_NAME_MAX).contains(&name.chars().count())
        && !name.chars().any(char::is_control);
    if fits {
        return Ok(name);
    }
    let rule = "1 to 64 characters without control characters (RFC 5280, ub-common-name)";
    Err(PkiError::Name { name: name.to_owned(), rule })
}

/// DNS names, with `*` as the first label if need be, and IP addresses; each once.
pub(super) fn alternative_names(stated: &[String]) -> Result<Vec<SanType>, PkiError> {
    let mut names = Vec::new();
    for name in stated {
        let name = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => match name.strip_prefix("*.") {
                Some(parent) if dns(parent).is_ok() => {
                    let text = name.clone().try_into();
                    text.map(SanType::DnsName).or_else(|_| dns(name))?
                }
                _ => dns(name)?,
            },
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The names that every server certificate holds, the host's, and `more`; each once.
pub(super) fn server_names(more: &[String]) -> Result<Vec<SanType>, PkiError> {
    let mut names = vec![
        dns("localhost")?,
        SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
    ];
    let mut add = |name: SanType| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    // A host may be called what no certificate can hold; then it is reached by address.
    if let Some(Ok(host)) = host_name().map(|host| dns(&host)) {
        add(host);
    }
    for name in more {
        match name.parse::<IpAddr>() {
            Ok(address) => add(SanType::IpAddress(address)),
            Err(_) => add(dns(name)?),
        }
    }
    Ok(names)
}

/// An end, whose name is still missing.
pub(super) fn leaf(
    purpose: Purpose,
    now: SystemTime,
    validity: Duration,
) -> Result<CertificateParams, PkiError> {
    let mut params = unnamed(now, validity)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match purpose {
        Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn blank(
    common_name: &str,
    now: SystemTime,
    validity: Duration,
) -> Result<CertificateParams, PkiError> {
    let mut params = unnamed(now, validity)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

fn unnamed(now: SystemTime, validity: Duration) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serial_number = Some(serial()?);
    params.not_before = OffsetDateTime::from(now - CLOCK_SKEW);
    params.not_after = OffsetDateTime::from(now + validity);
    Ok(params)
}

/// 16 bytes with 126 random bits, positive and never shorter (RFC 5280 section 4.1.2.2).
fn serial() -> Result<SerialNumber, PkiError> {
    let mut bytes: [u8; 16] = random()?;
    let [first, ..] = &mut bytes;
    *first = (*first & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn random<const N: usize>() -> Result<[u8; N], PkiError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| PkiError::Random)?;
    Ok(bytes)
}

fn dns(name: &str) -> Result<SanType, PkiError> {
    let invalid = || PkiError::Name {
        name: name.to_owned(),
        rule: "an IP address, or a DNS name of letters, digits, hyphens and dots, 253 at most",
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(invalid());
    }
    name.to_owned().try_into().map(SanType::DnsName).map_err(|_| invalid())
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// How far a client's clock may be behind ours, for a certificate made just now to be valid there.
const CLOCK_SKEW: Duration = Duration::from_secs(DAY_S);
