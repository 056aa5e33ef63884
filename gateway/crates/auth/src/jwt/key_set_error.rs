//! Key sets that cannot be used.

use std::error::Error;
use std::fmt;

use super::algorithm::Algorithm;
use super::pem::PemError;
use super::skipped::SkippedKey;

/// Skipped keys that a sentence tells of.
const REASONS: usize = 3;

/// Why there is no key set. No text of it holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySetError {
    /// The text is longer than is read.
    TooLong {
        /// Bytes that it has.
        bytes: usize,
        /// Bytes that it may have.
        limit: usize,
    },
    /// The text is not JSON, or has a name twice in one object: what and where.
    Json(String),
    /// The JSON has no array `keys` (RFC 7517, section 5.1).
    NoKeys,
    /// There are more keys than the policy allows.
    TooManyKeys {
        /// Keys in the set.
        keys: usize,
        /// Keys that there may be.
        limit: usize,
    },
    /// Secrets and public keys are in one set.
    Mixed,
    /// Every key was skipped, or there was none.
    NoUsableKey {
        /// The keys, and why each was skipped.
        skipped: Vec<SkippedKey>,
    },
    /// The policy allows no algorithm that the one key fits.
    NotAllowed {
        /// What the key is.
        key: &'static str,
    },
    /// A secret is shorter than an allowed algorithm needs (RFC 7518, section 3.2).
    SecretTooShort {
        /// Bytes of the secret.
        bytes: usize,
        /// An algorithm that the policy allows.
        algorithm: Algorithm,
        /// Bytes that it needs.
        least: usize,
    },
    /// The PEM holds no key that can be used.
    Pem(PemError),
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, limit } => {
                write!(f, "the key set has {bytes} bytes; at most {limit} are read")
            }
            Self::Json(what) => write!(f, "the key set is not well-formed JSON: {what}"),
            Self::NoKeys => f.write_str(
                "the key set has no array \"keys\"; a JWKS looks like {\"keys\":[{\"kty\":...}]} \
                 (RFC 7517, section 5)",
            ),
            Self::TooManyKeys { keys, limit } => {
                write!(f, "the key set has {keys} keys; the policy allows {limit}")
            }
            Self::Mixed => f.write_str(
                "the key set has secrets (\"oct\") and public keys; keep them in two sets, since \
                 whoever publishes the one gives away the other",
            ),
            Self::NoUsableKey { skipped } => no_usable_key(f, skipped),
            Self::NotAllowed { key } => {
                write!(f, "the {key} fits no algorithm that the policy allows; allow one that does")
            }
            Self::SecretTooShort { bytes, algorithm, least } => write!(
                f,
                "the secret has {bytes} bytes; {algorithm}, which the policy allows, needs {least} \
                 (RFC 7518, section 3.2)"
            ),
            Self::Pem(error) => write!(f, "the PEM cannot be used: {error}"),
        }
    }
}

impl Error for KeySetError {}

fn no_usable_key(f: &mut fmt::Formatter<'_>, skipped: &[SkippedKey]) -> fmt::Result {
    if skipped.is_empty() {
        return f.write_str("the key set is empty; it must have at least one key");
    }
    f.write_str("the key set has no key that can be used")?;
    for (number, key) in skipped.iter().take(REASONS).enumerate() {
        f.write_str(if number == 0 { ": " } else { "; " })?;
        write!(f, "{key}")?;
    }
    match skipped.len().saturating_sub(REASONS) {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}
