//! Whether a verified certificate lets a client in, and under which name.

use portcullis_extension::Certificate;

use crate::settings::{ClientIdRule, Principal, Settings};

/// What the gateway takes in a principal and of attributes: more would be an invalid answer.
const PRINCIPAL_BYTES_MAX: usize = 1024;
const ATTRIBUTE_BYTES_MAX: usize = 3 * 1024;

/// The principal of the client. The error is a sentence for the log.
pub(crate) fn judge(
    settings: &Settings,
    client_id: &str,
    certificate: &Certificate,
) -> Result<String, String> {
    if !settings.issuers.is_empty() && !settings.issuers.contains(&certificate.issuer) {
        return Err(format!("the certificate is issued by \"{}\"", certificate.issuer));
    }
    let principal = principal(settings.principal, certificate)?;
    let fits = match settings.client_id {
        ClientIdRule::Any => true,
        ClientIdRule::Equals => client_id == principal,
        ClientIdRule::Prefix => client_id
            .strip_prefix(principal)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(&settings.separator)),
    };
    if !fits {
        return Err(format!("the client identifier is not that of \"{principal}\""));
    }
    Ok(principal.to_owned())
}

fn principal(kind: Principal, certificate: &Certificate) -> Result<&str, String> {
    let name = match kind {
        Principal::CommonName => certificate.common_name.as_deref().unwrap_or_default(),
        Principal::Subject => &certificate.subject,
        Principal::Sha256 => &certificate.sha256,
        Principal::SanDns => only(kind, &certificate.san_dns)?,
        Principal::SanUri => only(kind, &certificate.san_uri)?,
        Principal::SanEmail => only(kind, &certificate.san_email)?,
        Principal::SanIp => only(kind, &certificate.san_ip)?,
    };
    if name.is_empty() || name.len() > PRINCIPAL_BYTES_MAX || name.contains(char::is_control) {
        return Err(format!(
            "the certificate's {} is no name: one has 1 to {PRINCIPAL_BYTES_MAX} bytes and no \
             control characters",
            kind.name()
        ));
    }
    Ok(name)
}

/// Where a certificate has several names of the kind, which of them is meant would be chance.
fn only(kind: Principal, names: &[String]) -> Result<&str, String> {
    match names {
        [name] => Ok(name),
        _ => Err(format!(
            "the certificate has {} names of the kind {}; exactly one names a client",
            names.len(),
            kind.name()
        )),
    }
}

/// What is in the certificate, for `${attr.NAME}`; a value of more than 3 KiB is left out.
pub(crate) fn attributes(certificate: &Certificate) -> Vec<(String, String)> {
    let values = [
        ("common-name", certificate.common_name.as_deref().unwrap_or_default()),
        ("subject", &certificate.subject),
        ("issuer", &certificate.issuer),
        ("serial", &certificate.serial),
        ("sha256", &certificate.sha256),
    ];
    values
        .into_iter()
        .filter(|(_, value)| (1..=ATTRIBUTE_BYTES_MAX).contains(&value.len()))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::read;

    fn certificate() -> Certificate {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Certificate {
            sha256: "ab12".to_owned(),
            subject: "CN=pump-1, O=Plant".to_owned(),
            common_name: Some("pump-1".to_owned()),
            issuer: "CN=Plant CA".to_owned(),
            serial: "07".to_owned(),
            not_after: 0,
            san_dns: names(&["pump-1.plant.example"]),
            san_uri: names(&["urn:pump:1", "urn:pump:2"]),
            san_email: names(&[]),
            san_ip: names(&["fd00::17"]),
        }
    }

    fn judged(values: &[(&str, &str)], client_id: &str) -> Result<String, String> {
        judge(&read(values).unwrap(), client_id, &certificate())
    }

    #[test]
    fn the_operator_says_what_names_a_client() {
        for (kind, expected) in [
            ("common-name", Some("pump-1")),
            ("subject", Some("CN=pump-1, O=Plant")),
            ("san-dns", Some("pump-1.plant.example")),
            ("san-uri", None),
            ("san-email", None),
            ("san-ip", Some("fd00::17")),
            ("sha256", Some("ab12")),
        ] {
            let found = judged(&[("principal", kind)], "c");
            assert_eq!(found.as_deref().ok(), expected, "{kind}: {found:?}");
        }
        let settings = read(&[]).unwrap();
        for name in [None, Some(""), Some("a\nb"), Some(&*"x".repeat(1025))] {
            let nameless = Certificate { common_name: name.map(str::to_owned), ..certificate() };
            assert!(judge(&settings, "c", &nameless).is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_issuer_may_have_to_be_named() {
        assert!(judged(&[("issuers", "CN=Other\nCN=Plant CA\n")], "c").is_ok());
        assert!(judged(&[("issuers", "CN=Plant")], "c").is_err());
    }

    #[test]
    fn a_client_identifier_may_be_bound_to_the_principal() {
        for (rule, client_id, fits) in [
            ("any", "x", true),
            ("equals", "pump-1", true),
            ("equals", "pump-10", false),
            ("prefix", "pump-1", true),
            ("prefix", "pump-1-a", true),
            ("prefix", "pump-10", false),
            ("prefix", "a-pump-1", false),
        ] {
            assert_eq!(
                judged(&[("client-id", rule)], client_id).is_ok(),
                fits,
                "{rule} {client_id}"
            );
        }
    }

    #[test]
    fn attributes_say_what_is_in_it() {
        let long = Certificate { subject: "x".repeat(4000), ..certificate() };
        let names: Vec<_> = attributes(&long).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["common-name", "issuer", "serial", "sha256"]);
    }
}
