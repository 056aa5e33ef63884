//! Keys of a set that cannot be used.

use std::fmt;

use super::shown::shown;

/// A key of a set that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Where it is in `keys`, counted from 0.
    pub position: usize,
    /// Its `kid`, if it has one.
    pub kid: Option<String>,
    /// What is wrong with it, or not for us.
    pub reason: SkipReason,
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.position + 1)?;
        if let Some(kid) = &self.kid {
            write!(f, " ({})", shown(kid))?;
        }
        write!(f, " {}", self.reason)
    }
}

/// Why a key is not used. Each is the end of a sentence that begins with the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// It is not a JSON object.
    NotAnObject,
    /// A member is missing or malformed.
    Member {
        /// The member.
        name: &'static str,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// `use` is something else than `sig` (RFC 7517, section 4.2).
    Use(String),
    /// `key_ops` is without `verify` (RFC 7517, section 4.3).
    Operations,
    /// `kty` is none that is known (RFC 7517, section 4.1).
    Type(String),
    /// `crv` is none that is known for its `kty`.
    Curve(String),
    /// `alg` is none that is known, such as one for encryption.
    Algorithm(String),
    /// `alg` is an algorithm of another kind of keys, or one that needs a longer secret.
    Contradiction(String),
    /// No algorithm that the policy allows fits the key.
    NotAllowed,
    /// An RSA modulus is too short to be safe, or longer than can be used.
    RsaBits {
        /// Bits that it has.
        bits: usize,
        /// Bits that it must have.
        least: usize,
        /// Bits that it may have.
        most: usize,
    },
    /// An RSA exponent is even, 1, or has more than 33 bits.
    RsaExponent,
    /// A secret is too short for every algorithm.
    SecretBytes {
        /// Bytes that it has.
        bytes: usize,
    },
    /// It is the private key.
    Private,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("is not a JSON object"),
            Self::Member { name, rule } => write!(f, "has a member \"{name}\" that {rule}"),
            Self::Use(found) => {
                write!(f, "is for the use {}; only keys for \"sig\" are used", shown(found))
            }
            Self::Operations => f.write_str("has \"key_ops\" without \"verify\""),
            Self::Type(found) => {
                write!(f, "has the type {}; known are RSA, EC, OKP and oct", shown(found))
            }
            Self::Curve(found) => {
                write!(f, "is on the curve {}; known are P-256, P-384 and Ed25519", shown(found))
            }
            Self::Algorithm(found) => {
                write!(f, "is for the algorithm {}, which is not known", shown(found))
            }
            Self::Contradiction(found) => {
                write!(f, "says that it is for {}, which it does not fit", shown(found))
            }
            Self::NotAllowed => f.write_str("fits no algorithm that the policy allows"),
            Self::RsaBits { bits, least, most } => {
                write!(f, "has an RSA modulus of {bits} bits; it must have {least} to {most}")
            }
            Self::RsaExponent => {
                f.write_str("has an RSA exponent that is not odd, above 1 and of 33 bits at most")
            }
            Self::SecretBytes { bytes } => {
                write!(f, "is a secret of {bytes} bytes; HS256, the least, needs 32")
            }
            Self::Private => f.write_str(
                "holds its private part; whoever verifies needs only the public one, so publish \
                 that and replace the key",
            ),
        }
    }
}
