//! The algorithms with which tokens may be signed (RFC 7518, section 3.1; RFC 8037).

use auth::jwt::Algorithm;

use crate::key_set::KeySource;
use crate::section::Section;

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
    let names = Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm));
    let mut algorithms = Vec::new();
    for word in &words {
        algorithms.push(section.chosen(KEY, word, &names)?);
    }
    // Who can verify with one of these could also sign.
    let is_of_secrets = |algorithm: &&Algorithm| algorithm.min_secret_bytes().is_some();
    let secrets = algorithms.iter().filter(is_of_secrets).count();
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
