//! `[extensions.NAME.key-sets.NAME]`: keys that an extension may have tokens verified with.

use std::path::PathBuf;
use std::time::Duration;

use auth::jwt::{self, Algorithm, Expiry, Policy};
use toml::de::DeValue;

use crate::algorithm;
use crate::duration::Span;
use crate::section::{Located, Section};
use crate::url;

/// One key set, and what must be true of a token besides its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// Its name in the file, by which the extension asks for it.
    pub name: String,
    /// Where the keys come from.
    pub source: KeySource,
    /// With what a token may be signed: at least one, and either secrets or public keys.
    pub algorithms: Vec<Algorithm>,
    /// Who may issue a token.
    pub issuer: Expected,
    /// Whom a token must be for.
    pub audience: Expected,
    /// By how much the clocks of issuer and gateway may differ.
    pub leeway: Duration,
    /// Claims that a token must have.
    pub required_claims: Vec<String>,
    /// Time since a token was issued after which it is refused whatever it says.
    pub max_token_age: Option<Duration>,
    /// What the token's header must say that it is.
    pub token_type: Option<String>,
}

impl KeySet {
    /// What is accepted of tokens and keys. A token without an end is not.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            required_claims: self.required_claims.clone(),
            token_type: self.token_type.clone(),
            leeway_s: self.leeway.as_secs(),
            expiry: Expiry::Required,
            max_age_s: self.max_token_age.map(|age| age.as_secs()),
            ..Policy::new(self.algorithms.clone(), self.issuer.claim(), self.audience.claim())
        }
    }
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JWKS in a file.
    File(PathBuf),
    /// One public key in a PEM file.
    Pem(PathBuf),
    /// One secret in a file, for HMAC.
    Secret(PathBuf),
    /// A JWKS that is fetched.
    Url(KeyUrl),
}

/// A JWKS that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUrl {
    /// `https://...`, or `http://...` of this machine.
    pub url: String,
    /// PEM file with the authorities that are trusted instead of the public ones.
    pub ca: Option<PathBuf>,
    /// How often it is fetched.
    pub refresh: Duration,
    /// How long a set serves that could not be fetched again; not shorter than `refresh`.
    pub max_stale: Duration,
}

/// The values of a claim that are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// One of these; at least one.
    OneOf(Vec<String>),
    /// Any, or none: the operator has said so.
    Any,
}

impl Expected {
    /// What is asked of the claim.
    fn claim(&self) -> jwt::Expected {
        match self {
            Self::OneOf(texts) => jwt::Expected::OneOf(texts.clone()),
            Self::Any => jwt::Expected::Any,
        }
    }
}

/// The word that turns the check of a claim off.
const ANY: &str = "any";

const SOURCES: [&str; 4] = ["file", "pem", "secret-file", "url"];
/// Keys that mean something for what is fetched only.
const FETCHING: [&str; 3] = ["refresh", "max-stale", "ca"];

/// Issuers ask for caching of hours and announce new keys days ahead.
const DEFAULT_REFRESH: Duration = Duration::from_secs(3_600);
/// A night without the issuer; longer, and a key that was taken back would serve for too long.
const DEFAULT_MAX_STALE: Duration = Duration::from_secs(24 * 3_600);
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);
/// What machines that ask for the time now and then differ by.
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
/// RFC 7519, 4.1.4: no more than a few minutes.
const LEEWAY_MAX: Duration = Duration::from_secs(600);

/// Reads the key sets of one extension; one whose essentials are faulty is left out.
pub(crate) fn read(extension: &Section<'_>) -> Vec<KeySet> {
    let sections = extension.named("key-sets", "key set");
    sections.into_iter().filter_map(|(name, section)| read_one(name, &section)).collect()
}

fn read_one(name: String, section: &Section<'_>) -> Option<KeySet> {
    let source = source(section);
    let algorithms = algorithm::read(section, source.as_ref());
    let issuer = expected(section, "issuer", "say who issues the tokens, as in their \"iss\"");
    let audience =
        expected(section, "audience", "say what their \"aud\" calls this gateway or its service");
    let leeway = section.duration("leeway", DEFAULT_LEEWAY, Duration::ZERO..=LEEWAY_MAX);
    let required = section.texts("required-claims").unwrap_or_default();
    let age = section.duration("max-token-age", Duration::ZERO, Duration::ZERO..=INTERVAL_MAX);
    let token_type = section.text("token-type").map(|text| text.value.to_owned());
    section.finish();
    Some(KeySet {
        name,
        source: source?,
        algorithms: algorithms?,
        issuer: issuer?,
        audience: audience?,
        leeway,
        required_claims: required.iter().map(|claim| claim.value.to_owned()).collect(),
        max_token_age: (age > Duration::ZERO).then_some(age),
        token_type,
    })
}

fn source(section: &Section<'_>) -> Option<KeySource> {
    let stated: Vec<_> = SOURCES.into_iter().filter(|key| section.has(key)).collect();
    let files = ["file", "pem", "secret-file"].map(|key| section.file(key));
    let url = section.text("url").and_then(|text| {
        let checked = url::check(text.value);
        if let Err(why) = checked {
            // Whoever reads the report is not to read a password in it.
            let shown = if text.value.contains('@') { "..." } else { text.value };
            section.fault(text.line, "url", &format!("\"{shown}\" {why}"));
        }
        checked.ok().map(|()| text.value.to_owned())
    });
    let is_fetched = section.has("url");
    let fetched = fetched(section, is_fetched, url);
    match (stated.as_slice(), files) {
        ([], _) => {
            let hint = "say where the keys are: file (a JWKS), pem (one public key), secret-file \
                        (one secret) or url (a JWKS)";
            section.missing("url", hint);
            None
        }
        ([_], [Some(path), None, None]) => Some(KeySource::File(path)),
        ([_], [None, Some(path), None]) => Some(KeySource::Pem(path)),
        ([_], [None, None, Some(path)]) => Some(KeySource::Secret(path)),
        ([_], _) => fetched.map(KeySource::Url),
        ([first, others @ ..], _) => {
            for other in others {
                let message = format!("is a second source beside {first}; keep one of them");
                section.fault(section.line_of(other).unwrap_or_default(), other, &message);
            }
            None
        }
    }
}

fn fetched(section: &Section<'_>, is_fetched: bool, url: Option<String>) -> Option<KeyUrl> {
    if !is_fetched {
        section.meaningless(&FETCHING, "without url; remove it");
        return None;
    }
    let refresh = section.duration("refresh", DEFAULT_REFRESH, INTERVAL_MIN..=INTERVAL_MAX);
    let max_stale = section.duration("max-stale", DEFAULT_MAX_STALE, INTERVAL_MIN..=INTERVAL_MAX);
    if max_stale < refresh {
        let (key, relation) = match section.has("max-stale") {
            true => (
                "max-stale",
                format!("({}) is shorter than refresh ({})", Span(max_stale), Span(refresh)),
            ),
            false => (
                "refresh",
                format!("({}) is longer than max-stale ({})", Span(refresh), Span(max_stale)),
            ),
        };
        let message = format!(
            "{relation}, so that there would be no keys before they are fetched again; raise the one or \
             lower the other"
        );
        section.fault(section.line_of(key).unwrap_or_default(), key, &message);
    }
    let ca = section.file("ca");
    Some(KeyUrl { url: url?, ca, refresh, max_stale })
}

/// One text or several, or the word that turns the check off.
fn expected(section: &Section<'_>, key: &'static str, hint: &str) -> Option<Expected> {
    let Some(found) = section.value(key) else {
        section.missing(key, &format!("{hint}, or \"{ANY}\" to accept whatever they say"));
        return None;
    };
    let texts = match found.value {
        DeValue::String(text) if &**text == ANY => return Some(Expected::Any),
        DeValue::String(text) => vec![Located { value: &**text, line: found.line }],
        DeValue::Array(_) => section.texts(key)?,
        other => {
            section.wrong_type(key, &found, other, "a text in quotes, or a list of such");
            return None;
        }
    };
    if texts.is_empty() {
        section.fault(found.line, key, &format!("is an empty list; {hint}"));
        return None;
    }
    for text in &texts {
        if text.value == ANY || text.value.is_empty() {
            let message = format!(
                "\"{}\" is nobody's name; \"{ANY}\" accepts whatever tokens say where it stands alone",
                text.value
            );
            section.fault(text.line, key, &message);
        }
    }
    Some(Expected::OneOf(texts.iter().map(|text| text.value.to_owned()).collect()))
}
