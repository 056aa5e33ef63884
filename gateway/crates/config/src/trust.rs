//! `[trust]`: who may vouch for extensions.

use auth::signature::PublicKey;

use crate::section::{Located, Section};

/// Who may vouch for extensions, and whether somebody must.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Whether an extension that says nothing else must be signed.
    pub require_signature: bool,
    /// Whom signatures are believed, sorted by name; at least one where any extension must be signed.
    pub keys: Vec<TrustedKey>,
}

/// Somebody whose signatures are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// Name in the file, which appears in logs.
    pub name: String,
    /// What the signatures are verified with.
    pub key: PublicKey,
}

/// What is asked of the signature of one extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureRule {
    /// Whether there must be one. One that is there is looked at wherever there are keys.
    pub required: bool,
    /// Names of the keys that count; all if none is named.
    pub by: Vec<String>,
    /// The name of the extension in it.
    pub name: String,
}

/// Reads `[trust]`.
pub(crate) fn read(root: &Section<'_>) -> Trust {
    let section = root.section("trust");
    let require_signature = section.flag("require-signature", false);
    let table = section.part("keys");
    let mut keys: Vec<TrustedKey> = Vec::new();
    for (name, text) in section.free("keys") {
        match PublicKey::parse(&text.value) {
            Err(error) => table.fault(text.line, &name, &format!("{:?} {error}", text.value)),
            Ok(key) => {
                if let Some(other) = keys.iter().find(|other| other.key == key) {
                    let message = format!("is the same key as {}; keep one of them", other.name);
                    table.fault(text.line, &name, &message);
                }
                keys.push(TrustedKey { name, key });
            }
        }
    }
    if require_signature && table.entries().is_empty() {
        let line = section.line_of("require-signature").unwrap_or_default();
        section.fault(line, "require-signature", NO_KEYS);
    }
    section.finish();
    Trust { require_signature, keys }
}

const NO_KEYS: &str = "means that nothing is loaded where [trust.keys] names no key; add the key that \
    `portcullis extension keygen` showed";

/// Reads what one extension says of its signature.
pub(crate) fn rule(section: &Section<'_>, name: &str, trust: &Trust) -> SignatureRule {
    let required = section.flag("require-signature", trust.require_signature);
    if required && !trust.require_signature && trust.keys.is_empty() {
        let line = section.line_of("require-signature").unwrap_or_default();
        section.fault(line, "require-signature", NO_KEYS);
    }
    let by = section.texts("signed-by").unwrap_or_default();
    let signed_as = section.text("signed-as").map_or(name, |text| text.value).to_owned();
    let by = by.iter().filter(|word| is_known(section, word, trust));
    let by = by.map(|word| word.value.to_owned()).collect();
    SignatureRule { required, by, name: signed_as }
}

fn is_known(section: &Section<'_>, word: &Located<&str>, trust: &Trust) -> bool {
    let known = trust.keys.iter().any(|key| key.name == word.value);
    if !known {
        let message = format!("\"{}\" is no key of [trust.keys]; add it there", word.value);
        section.fault(word.line, "signed-by", &message);
    }
    known
}
