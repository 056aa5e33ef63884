//! Tokens that are refused.

use std::error::Error;
use std::fmt;

use super::algorithm::{Algorithm, list};
use super::shown::shown;

/// Why a token is refused. No text of it holds the token, its signature, or a claim besides `iss`,
/// `aud` and times; `kid`, `alg`, `typ`, `iss` and `aud` are shown escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtError {
    /// It is longer than the policy allows; nothing of it was looked at.
    TooLong {
        /// Bytes that it has.
        bytes: usize,
        /// Bytes that it may have.
        limit: usize,
    },
    /// It is no JWT.
    Malformed(Malformed),
    /// Its `alg` is none that the policy allows, or none that is known, such as `none`.
    AlgorithmNotAllowed {
        /// What `alg` says.
        found: String,
        /// What the policy allows.
        allowed: Vec<Algorithm>,
    },
    /// Its `alg` is allowed, and no key that it may be verified with is for it.
    NoFittingKey {
        /// What `alg` says.
        algorithm: Algorithm,
        /// What `kid` says.
        kid: Option<String>,
    },
    /// No key has the name that its `kid` says. The issuer may have new keys: whoever has the set
    /// from somewhere may fetch it once more, not more often than once in a while, and verify again.
    UnknownKid {
        /// What `kid` says.
        kid: String,
    },
    /// The signature is of no key that was tried.
    WrongSignature {
        /// What `alg` says.
        algorithm: Algorithm,
        /// Keys that were tried.
        tried: usize,
        /// Keys that fit; more than were tried if there are more than
        /// [`MAX_KEYS_TRIED`](super::MAX_KEYS_TRIED).
        fitting: usize,
    },
    /// It has expired (RFC 7519, section 4.1.4).
    Expired {
        /// Its `exp`, in Unix seconds, rounded down.
        expired_at: u64,
        /// The time for which it was looked at, in Unix seconds.
        now: u64,
        /// Seconds that clocks may differ.
        leeway_s: u64,
    },
    /// Its `nbf` or `iat` is to come (RFC 7519, sections 4.1.5 and 4.1.6).
    NotYetValid {
        /// Which of them.
        claim: &'static str,
        /// The claim, in Unix seconds, rounded up.
        from: u64,
        /// The time for which it was looked at, in Unix seconds.
        now: u64,
        /// Seconds that clocks may differ.
        leeway_s: u64,
    },
    /// It was issued too long ago, whenever it expires.
    TooOld {
        /// Seconds since its `iat`.
        age_s: u64,
        /// Seconds that the policy allows.
        max_age_s: u64,
    },
    /// It lacks a claim that the policy asks for.
    MissingClaim {
        /// The claim.
        claim: String,
    },
    /// A registered claim has not the form that RFC 7519 gives it.
    BadClaim {
        /// The claim.
        claim: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// It is of another issuer (RFC 7519, section 4.1.1).
    Issuer {
        /// What `iss` says.
        found: String,
    },
    /// It is for others (RFC 7519, section 4.1.3).
    Audience {
        /// What `aud` says.
        found: Vec<String>,
    },
    /// It is a token of another kind (RFC 8725, section 3.11).
    TokenType {
        /// What `typ` says.
        found: Option<String>,
        /// What the policy asks for.
        expected: String,
    },
}

/// A part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What says how it is signed.
    Header,
    /// The claims.
    Payload,
    /// The signature.
    Signature,
}

/// What about a text is not as RFC 7515 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It has not three parts with dots between them (RFC 7515, section 3.1): how many it has.
    Parts(usize),
    /// A part is not base64url without padding, white space and left-over bits (RFC 7515, section
    /// 2; RFC 4648, sections 3.5 and 5).
    Base64(Part),
    /// A part is not a JSON object in UTF-8 in which each name occurs once: what and where.
    Json(Part, String),
    /// A member of the header is missing or is not a string: its name.
    HeaderMember(&'static str),
    /// The header has `crit`, of which nothing is understood (RFC 7515, section 4.1.11).
    Critical,
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, limit } => {
                write!(f, "the token has {bytes} bytes; at most {limit} are looked at")
            }
            Self::Malformed(what) => write!(f, "the token is malformed: {what}"),
            Self::AlgorithmNotAllowed { found, allowed } => write!(
                f,
                "the token is signed with {}; the policy allows {}",
                shown(found),
                list(allowed)
            ),
            Self::NoFittingKey { algorithm, kid: None } => {
                write!(f, "the token is signed with {algorithm}, for which the set has no key")
            }
            Self::NoFittingKey { algorithm, kid: Some(kid) } => write!(
                f,
                "the token is signed with {algorithm}, for which its key {} is not",
                shown(kid)
            ),
            Self::UnknownKid { kid } => {
                write!(f, "the token names the key {}, which the set has not", shown(kid))
            }
            Self::WrongSignature { algorithm, tried, fitting } => write!(
                f,
                "the token's {algorithm} signature is of none of the {tried} keys that were tried \
                 ({fitting} fit)"
            ),
            Self::Expired { expired_at, now, leeway_s } => write!(
                f,
                "the token expired at {expired_at}; it is {now}, and clocks may differ by \
                 {leeway_s} s"
            ),
            Self::NotYetValid { claim, from, now, leeway_s } => write!(
                f,
                "the token is not valid before {from} (\"{claim}\"); it is {now}, and clocks may \
                 differ by {leeway_s} s"
            ),
            Self::TooOld { age_s, max_age_s } => {
                write!(f, "the token was issued {age_s} s ago; the policy allows {max_age_s} s")
            }
            Self::MissingClaim { claim } => {
                write!(f, "the token lacks the claim \"{claim}\", which the policy asks for")
            }
            Self::BadClaim { claim, rule } => {
                write!(f, "the token's claim \"{claim}\" must be {rule}")
            }
            Self::Issuer { found } => {
                write!(f, "the token is of {}, which is no issuer of the policy", shown(found))
            }
            Self::Audience { found } => audience(f, found),
            Self::TokenType { found, expected } => write!(
                f,
                "the token's \"typ\" is {}; the policy asks for \"{expected}\"",
                found.as_deref().map_or_else(|| "missing".to_owned(), shown)
            ),
        }
    }
}

impl Error for JwtError {}

fn audience(f: &mut fmt::Formatter<'_>, found: &[String]) -> fmt::Result {
    match found {
        [] => f.write_str("the token is for nobody; its \"aud\" is empty"),
        [first] => write!(f, "the token is for {}, not for this gateway", shown(first)),
        [first, more @ ..] => {
            let more = more.len();
            write!(f, "the token is for {} and {more} more, not for this gateway", shown(first))
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parts(5) => f.write_str(
                "it has five parts, so it is encrypted; tokens must be signed, in three parts",
            ),
            Self::Parts(parts) => {
                write!(f, "parts are divided by dots, and it has {parts}; there must be 3")
            }
            Self::Base64(part) => write!(f, "its {part} is not base64url without padding"),
            Self::Json(part, what) => write!(f, "its {part} is not well-formed JSON: {what}"),
            Self::HeaderMember(name) => write!(f, "its header has no string \"{name}\""),
            Self::Critical => f.write_str(
                "its header has \"crit\"; no extension that must be understood is (RFC 7515, \
                 section 4.1.11)",
            ),
        }
    }
}
