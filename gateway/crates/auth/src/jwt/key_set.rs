//! The keys that tokens are verified with.

use serde_json::Value;

use super::json;
use super::jwk;
use super::key::{Key, Kind};
use super::key_set_error::KeySetError;
use super::pem;
use super::policy::Policy;
use super::skipped::{SkipReason, SkippedKey};

/// Bytes of the longest JWKS that is read: 256 KiB. Sets with certificates come to 20 KiB.
pub const MAX_SET_BYTES: usize = 256 * 1024;

/// Keys that are tried on one token: those that fit where its header names none, or several of one
/// name. What an unknown peer can make the gateway compute is bounded by this.
pub const MAX_KEYS_TRIED: usize = 8;

/// Keys to verify tokens with: public keys only, or secrets only.
#[derive(Debug)]
pub struct KeySet {
    pub(super) keys: Vec<Key>,
    skipped: Vec<SkippedKey>,
}

impl KeySet {
    /// From the text of a JWKS (RFC 7517, section 5). A key that cannot be used, or that the policy
    /// has no use for, is skipped, as section 5 asks; [`skipped`](Self::skipped) says why.
    ///
    /// # Errors
    /// If the text is longer than [`MAX_SET_BYTES`], is not a JWKS, has a name twice in one object
    /// or more keys than [`Policy::max_keys`], has secrets beside public keys, or no key that can
    /// be used.
    pub fn parse(json: &str, policy: &Policy) -> Result<Self, KeySetError> {
        if json.len() > MAX_SET_BYTES {
            return Err(KeySetError::TooLong { bytes: json.len(), limit: MAX_SET_BYTES });
        }
        let members = json::object(json).map_err(KeySetError::Json)?;
        let Some(Value::Array(jwks)) = members.get("keys") else {
            return Err(KeySetError::NoKeys);
        };
        if jwks.len() > policy.max_keys {
            return Err(KeySetError::TooManyKeys { keys: jwks.len(), limit: policy.max_keys });
        }
        // Counted before any is skipped: a secret that is published is one no more.
        let has = |secret| jwks.iter().any(|jwk| jwk::is_secret(jwk) == Some(secret));
        if has(true) && has(false) {
            return Err(KeySetError::Mixed);
        }
        let mut set = Self { keys: Vec::new(), skipped: Vec::new() };
        for (position, jwk) in jwks.iter().enumerate() {
            match jwk::read(jwk).and_then(|key| allowed(key, policy)) {
                Ok(key) => set.keys.push(key),
                Err(reason) => {
                    let kid = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
                    set.skipped.push(SkippedKey { position, kid, reason });
                }
            }
        }
        if set.keys.is_empty() {
            return Err(KeySetError::NoUsableKey { skipped: set.skipped });
        }
        Ok(set)
    }

    /// One secret for HMAC, without a `kid`: any token may be verified with it.
    ///
    /// # Errors
    /// If the policy allows no HMAC, or one whose hash is longer than the secret (RFC 7518, section
    /// 3.2).
    pub fn symmetric(secret: &[u8], policy: &Policy) -> Result<Self, KeySetError> {
        let needs =
            |algorithm: &super::Algorithm| Some((*algorithm, algorithm.min_secret_bytes()?));
        let longest = policy.algorithms.iter().filter_map(needs).max_by_key(|(_, least)| *least);
        let Some((algorithm, least)) = longest else {
            return Err(KeySetError::NotAllowed { key: "secret" });
        };
        let bytes = secret.len();
        let too_short = KeySetError::SecretTooShort { bytes, algorithm, least };
        if bytes < least {
            return Err(too_short);
        }
        Key::secret(secret).map(Self::of).map_err(|_| too_short)
    }

    /// One public key in PEM (`PUBLIC KEY` or `RSA PUBLIC KEY`), without a `kid`: any token may be
    /// verified with it.
    ///
    /// # Errors
    /// If it is something else, such as a certificate or a private key, a key that must not be
    /// used, or one that fits no algorithm of the policy.
    pub fn pem(pem: &str, policy: &Policy) -> Result<Self, KeySetError> {
        let key = pem::read(pem).map_err(KeySetError::Pem)?;
        let key =
            allowed(key, policy).map_err(|_| KeySetError::NotAllowed { key: "public key" })?;
        Ok(Self::of(key))
    }

    fn of(key: Key) -> Self {
        Self { keys: vec![key], skipped: Vec::new() }
    }

    /// Keys that can be used.
    #[expect(clippy::len_without_is_empty, reason = "a set has a key, or it is an error")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Keys that are not used, and why, in their order in the text.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// The names of the keys that can be used, in their order in the text.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(|key| key.kid.as_deref())
    }

    /// Whether these are secrets, which must not be shown to anybody.
    pub fn is_symmetric(&self) -> bool {
        self.keys.iter().any(|key| matches!(key.kind, Kind::Secret(_)))
    }
}

fn allowed(key: Key, policy: &Policy) -> Result<Key, SkipReason> {
    if policy.algorithms.iter().any(|algorithm| key.fits(*algorithm)) {
        Ok(key)
    } else {
        Err(SkipReason::NotAllowed)
    }
}
