//! Names of certificates that were made elsewhere, as this authority writes them.

use std::net::IpAddr;

use rcgen::{DistinguishedName, DnType, SanType};
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Name;

/// The subject of a request or a certificate.
pub(super) fn subject(name: &X509Name<'_>) -> Result<DistinguishedName, String> {
    let mut subject = DistinguishedName::new();
    for attribute in name.iter_attributes() {
        let oid: Vec<u64> = attribute
            .attr_type()
            .iter()
            .map(Iterator::collect)
            .ok_or_else(|| format!("its subject {name} has an attribute without a type"))?;
        let kind = DnType::from_oid(&oid);
        // The library keeps one of each kind: the subject would be another.
        if subject.get(&kind).is_some() {
            return Err(format!("its subject {name} has two attributes of one kind"));
        }
        let text = attribute
            .as_str()
            .map_err(|_| format!("its subject {name} has an attribute that is no text"))?;
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(
                "its subject has an attribute with control characters or without any".to_owned()
            );
        }
        subject.push(kind, text);
    }
    Ok(subject)
}

/// An alternative name of a request or a certificate.
pub(super) fn alternative(name: &GeneralName<'_>) -> Result<SanType, String> {
    let text = |text: &str| {
        let bad = text.is_empty() || text.chars().any(char::is_control);
        let text = (!bad).then(|| text.to_owned().try_into().ok()).flatten();
        text.ok_or_else(|| format!("its alternative name {name} is no text of ASCII"))
    };
    match name {
        GeneralName::DNSName(dns) => text(dns).map(SanType::DnsName),
        GeneralName::URI(uri) => text(uri).map(SanType::URI),
        GeneralName::RFC822Name(mail) => text(mail).map(SanType::Rfc822Name),
        GeneralName::IPAddress(octets) => {
            let address = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            let address = address.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
            address
                .map(SanType::IpAddress)
                .map_err(|_| "it has an address of no known length".to_owned())
        }
        other => Err(format!("its alternative name {other} is of a kind that is not issued here")),
    }
}
