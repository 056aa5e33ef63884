//! What the operator says.

use portcullis_rules::Rules;

/// The settings, read and checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) key_set: String,
    pub(crate) method: String,
    pub(crate) principal_claim: String,
    pub(crate) username_claim: Option<String>,
    pub(crate) client_id: ClientIdRule,
    pub(crate) separator: String,
    /// Name and claim of each.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) rules: Option<Rules>,
    pub(crate) permissions_claim: Option<String>,
}

/// Which client identifiers go with a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClientIdRule {
    /// Each.
    Any,
    /// The one that this claim has.
    Equals(String),
    /// The one that this claim has, alone or with the separator and anything behind it.
    Prefix(String),
}

impl Settings {
    pub(crate) const KEYS: [&str; 9] = [
        "attributes",
        "client-id",
        "client-id-separator",
        "key-set",
        "method",
        "permissions-claim",
        "principal-claim",
        "rules",
        "username-claim",
    ];

    /// Reads the settings; all faults are reported at once.
    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut faults = Vec::new();
        let key_set = get("key-set").unwrap_or_default();
        if key_set.is_empty() {
            faults.push(
                "\"key-set\" is not set; name one of [extensions.NAME.key-sets] under \
                 [extensions.NAME.config]"
                    .to_owned(),
            );
        }
        let client_id = client_id_rule(get("client-id").as_deref(), &mut faults);
        let attributes = attributes(&get("attributes").unwrap_or_default(), &mut faults);
        let rules = get("rules").and_then(|text| {
            Rules::parse(&text).map_err(|error| faults.push(error.to_string())).ok()
        });
        let mut or = |key: &str, default: &str| {
            let value = get(key).unwrap_or_else(|| default.to_owned());
            if value.is_empty() {
                faults.push(format!("\"{key}\" is empty; remove it for \"{default}\""));
            }
            value
        };
        let method = or("method", "JWT");
        let principal_claim = or("principal-claim", "sub");
        let separator = or("client-id-separator", "-");
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        Ok(Self {
            key_set,
            method,
            principal_claim,
            username_claim: get("username-claim"),
            client_id,
            separator,
            attributes,
            rules,
            permissions_claim: get("permissions-claim"),
        })
    }
}

fn client_id_rule(text: Option<&str>, faults: &mut Vec<String>) -> ClientIdRule {
    let text = text.unwrap_or("any");
    match text.split_once(':') {
        None if text == "any" => ClientIdRule::Any,
        Some(("equals", claim)) if !claim.is_empty() => ClientIdRule::Equals(claim.to_owned()),
        Some(("prefix", claim)) if !claim.is_empty() => ClientIdRule::Prefix(claim.to_owned()),
        _ => {
            faults.push(format!(
                "\"client-id\" is \"{text}\"; it is any, equals:CLAIM or prefix:CLAIM"
            ));
            ClientIdRule::Any
        }
    }
}

fn attributes(text: &str, faults: &mut Vec<String>) -> Vec<(String, String)> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, claim) = entry.split_once('=').unwrap_or((entry, entry));
        let (name, claim) = (name.trim(), claim.trim());
        if name.is_empty() || claim.is_empty() || name.contains('}') {
            faults.push(format!("\"attributes\" holds \"{entry}\"; write CLAIM or NAME=CLAIM"));
        } else if attributes.iter().any(|(known, _)| known == name) {
            faults.push(format!("\"attributes\" holds \"{name}\" twice; remove one of the two"));
        } else {
            attributes.push((name.to_owned(), claim.to_owned()));
        }
    }
    attributes
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
    fn little_has_to_be_said() {
        let settings = read(&[("key-set", "plant")]).unwrap();
        assert_eq!((&*settings.key_set, &*settings.method), ("plant", "JWT"));
        assert_eq!((&*settings.principal_claim, &*settings.separator), ("sub", "-"));
        assert_eq!(settings.client_id, ClientIdRule::Any);
        assert!(settings.attributes.is_empty() && settings.rules.is_none());
    }

    #[test]
    fn everything_can_be_said() {
        let settings = read(&[
            ("key-set", "plant"),
            ("client-id", "prefix:device.id"),
            ("attributes", " tenant, site = location.site ,"),
            ("rules", "allow * * ${attr.tenant}/#"),
        ])
        .unwrap();
        assert_eq!(settings.client_id, ClientIdRule::Prefix("device.id".to_owned()));
        let pair = |name: &str, claim: &str| (name.to_owned(), claim.to_owned());
        assert_eq!(settings.attributes, [pair("tenant", "tenant"), pair("site", "location.site")]);
        assert_eq!(settings.rules.map(|rules| rules.len()), Some(1));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let report = read(&[
            ("client-id", "equals:"),
            ("attributes", "a,=b,a"),
            ("rules", "permit"),
            ("method", ""),
        ])
        .unwrap_err();
        for words in [
            "\"key-set\" is not set",
            "\"client-id\" is \"equals:\"",
            "\"attributes\" holds \"=b\"",
            "\"attributes\" holds \"a\" twice",
            "rules line 1",
            "\"method\" is empty",
        ] {
            assert!(report.contains(words), "{words}: {report}");
        }
    }

    #[test]
    fn keys_are_sorted_and_known() {
        assert!(Settings::KEYS.is_sorted());
    }
}
