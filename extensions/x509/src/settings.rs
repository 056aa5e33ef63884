//! What the operator says.

/// The settings, read and checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) principal: Principal,
    /// All where there is none.
    pub(crate) issuers: Vec<String>,
    pub(crate) client_id: ClientIdRule,
    pub(crate) separator: String,
}

/// What of a certificate names the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Principal {
    CommonName,
    Subject,
    SanDns,
    SanUri,
    SanEmail,
    SanIp,
    Sha256,
}

impl Principal {
    const NAMES: [(&'static str, Self); 7] = [
        ("common-name", Self::CommonName),
        ("subject", Self::Subject),
        ("san-dns", Self::SanDns),
        ("san-uri", Self::SanUri),
        ("san-email", Self::SanEmail),
        ("san-ip", Self::SanIp),
        ("sha256", Self::Sha256),
    ];

    /// As the operator calls it.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// Which client identifiers go with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientIdRule {
    /// Each.
    Any,
    /// The principal.
    Equals,
    /// The principal, alone or with the separator and anything behind it.
    Prefix,
}

impl ClientIdRule {
    const NAMES: [(&'static str, Self); 3] =
        [("any", Self::Any), ("equals", Self::Equals), ("prefix", Self::Prefix)];
}

impl Settings {
    pub(crate) const KEYS: [&str; 4] = ["client-id", "client-id-separator", "issuers", "principal"];

    /// Reads the settings; all faults are reported at once.
    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut faults = Vec::new();
        let principal = get("principal");
        let principal = chosen("principal", principal.as_deref(), &Principal::NAMES, &mut faults);
        let client_id = get("client-id");
        let client_id =
            chosen("client-id", client_id.as_deref(), &ClientIdRule::NAMES, &mut faults);
        let lines = get("issuers").unwrap_or_default();
        let issuers: Vec<_> = lines
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        if get("issuers").is_some() && issuers.is_empty() {
            // Empty by mistake must not be all.
            faults.push("\"issuers\" names nobody; remove it to accept all".to_owned());
        }
        let separator = get("client-id-separator").unwrap_or_else(|| "-".to_owned());
        if separator.is_empty() {
            faults.push(
                "\"client-id-separator\" is empty; \"meter-1\" could then be \"meter-10\""
                    .to_owned(),
            );
        }
        if faults.is_empty() {
            Ok(Self { principal, issuers, client_id, separator })
        } else {
            Err(faults.join("; "))
        }
    }
}

/// The first where nothing is stated.
fn chosen<T: Copy>(
    key: &str,
    word: Option<&str>,
    options: &[(&str, T)],
    faults: &mut Vec<String>,
) -> T {
    let found = word.map(|word| (word, options.iter().find(|(name, _)| *name == word)));
    match found {
        None => options[0].1,
        Some((_, Some((_, value)))) => *value,
        Some((word, None)) => {
            let names: Vec<_> = options.iter().map(|(name, _)| *name).collect();
            faults.push(format!("\"{key}\" is \"{word}\"; it is one of {}", names.join(", ")));
            options[0].1
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn read(values: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(|key| {
            values.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_has_to_be_said() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.principal, Principal::CommonName);
        assert_eq!(settings.client_id, ClientIdRule::Any);
        assert!(settings.issuers.is_empty());
    }

    #[test]
    fn names_lead_back() {
        for (name, principal) in Principal::NAMES {
            assert_eq!(read(&[("principal", name)]).unwrap().principal, principal);
            assert_eq!(principal.name(), name);
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let report = read(&[
            ("principal", "cn"),
            ("client-id", "equal"),
            ("issuers", "\n# nobody\n"),
            ("client-id-separator", ""),
        ])
        .unwrap_err();
        for words in ["\"cn\"", "\"equal\"", "\"issuers\"", "\"client-id-separator\""] {
            assert!(report.contains(words), "{words}: {report}");
        }
    }
}
