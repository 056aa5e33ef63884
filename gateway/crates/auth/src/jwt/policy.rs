//! What the operator accepts.

use super::algorithm::Algorithm;

/// What the operator accepts of a token and of a key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The algorithms that may sign; a key may allow fewer. With none, nothing verifies (RFC 8725,
    /// section 3.1).
    pub algorithms: Vec<Algorithm>,
    /// Who may issue: `iss` (RFC 8725, section 3.8).
    pub issuers: Expected,
    /// Whom the token must be for: `aud` (RFC 8725, section 3.9).
    pub audiences: Expected,
    /// Names of claims, at the top level, without which a token is refused.
    pub required_claims: Vec<String>,
    /// What `typ` must say, such as `at+jwt` (RFC 8725, section 3.11): compared without regard to
    /// case, and with or without `application/` before it (RFC 7515, section 4.1.9). `None` leaves
    /// `typ` unread.
    pub token_type: Option<String>,
    /// Seconds by which the clocks of issuer and gateway may differ, towards either side. RFC 7519,
    /// section 4.1.4, has "no more than a few minutes" in mind.
    pub leeway_s: u64,
    /// Whether a token must expire.
    pub expiry: Expiry,
    /// Seconds since `iat` after which a token is refused whatever `exp` says; a token without
    /// `iat` is then refused as well. `None` for no such limit.
    pub max_age_s: Option<u64>,
    /// Bytes of the longest token that is looked at.
    pub max_token_bytes: usize,
    /// Keys of the largest set that is read, those that are skipped included.
    pub max_keys: usize,
}

impl Policy {
    /// Bytes of a token, unless told otherwise: 16 KiB.
    pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
    /// Keys of a set, unless told otherwise. Issuers publish two to ten.
    pub const MAX_KEYS: usize = 64;
    /// Seconds that clocks may differ, unless told otherwise.
    pub const LEEWAY_S: u64 = 30;

    /// A policy that says nothing more than it must: tokens must expire, clocks may differ by
    /// [`LEEWAY_S`](Self::LEEWAY_S), sizes have the limits above.
    pub fn new(algorithms: Vec<Algorithm>, issuers: Expected, audiences: Expected) -> Self {
        Self {
            algorithms,
            issuers,
            audiences,
            required_claims: Vec::new(),
            token_type: None,
            leeway_s: Self::LEEWAY_S,
            expiry: Expiry::Required,
            max_age_s: None,
            max_token_bytes: Self::MAX_TOKEN_BYTES,
            max_keys: Self::MAX_KEYS,
        }
    }
}

/// The values of a claim that are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The claim must be there and have, or contain, one of these. With none, nothing is accepted.
    OneOf(Vec<String>),
    /// The claim may be missing or have any value. For `aud` this departs from RFC 7519, section
    /// 4.1.3, by which a token that names an audience is refused by everybody else: only where the
    /// keys sign for this gateway alone.
    Any,
}

/// Whether a token must have `exp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// A token without `exp` is refused.
    Required,
    /// A token without `exp` is valid for ever, or until [`Policy::max_age_s`]; one with `exp` is
    /// still held to it.
    Optional,
}
