//! The algorithms with which tokens may be signed (RFC 7518, section 3.1; RFC 8037).

use crate::key_set::KeySource;
use crate::section::Section;

/// An algorithm. `none` and `ES512` are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the name that RFC 7518 gives it")]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    const NAMES: [(&'static str, Self); 12] = [
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// Its name in the file, and in the header of a token.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, algorithm)| *algorithm == self).map_or("", |(name, _)| name)
    }

    /// Whether who verifies could also sign.
    fn is_of_secrets(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

const KEY: &str = "algorithms";

/// Reads the list, and holds it to what the keys can be.
pub(crate) fn read(section: &Section<'_>, source: Option<&KeySource>) -> Option<Vec<Algorithm>> {
    if !section.has(KEY) {
        section.missing(KEY, "list what tokens may be signed with, such as [\"RS256\"]");
    }
    let words = section.texts(KEY)?;
    let line = section.line_of(KEY).unwrap_or_default();
    if words.is_empty() {
        section.fault(line, KEY, "is an empty list; nothing would ever be accepted");
        return None;
    }
    let mut algorithms = Vec::new();
    for word in &words {
        algorithms.push(section.chosen(KEY, word, &Algorithm::NAMES)?);
    }
    let secrets = algorithms.iter().filter(|algorithm| algorithm.is_of_secrets()).count();
    let has_secrets = secrets > 0;
    let wrong = match source {
        _ if has_secrets && secrets < algorithms.len() => {
            "mixes algorithms of secrets (HS...) with those of public keys, by which a public key \
             could be taken for a secret; make two key sets of it"
        }
        Some(KeySource::Secret(_)) if !has_secrets => {
            "names no algorithm for secret-file; list HS256, HS384 or HS512"
        }
        Some(KeySource::Pem(_)) if has_secrets => {
            "names algorithms of secrets, but pem is a public key; list those of the key"
        }
        Some(KeySource::Url(_)) if has_secrets => {
            "names algorithms of secrets, but a secret that is published at a url is none; put it \
             into a secret-file"
        }
        _ => return Some(algorithms),
    };
    section.fault(line, KEY, wrong);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for (name, algorithm) in Algorithm::NAMES {
            assert_eq!(algorithm.name(), name);
        }
    }
}
