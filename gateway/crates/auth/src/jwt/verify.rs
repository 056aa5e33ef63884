//! The way of a token from text to claims.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};

use super::claims::{Claim, Claims};
use super::error::{JwtError, Malformed, Part};
use super::header::Header;
use super::json;
use super::key_set::{KeySet, MAX_KEYS_TRIED};
use super::policy::{Expected, Policy};
use super::validity::{self, Validity};

impl KeySet {
    /// Verifies a token in compact serialization at this time, in Unix seconds.
    ///
    /// In this order: size, form and `alg` of the header; a key by `kid`, or by fitting; the
    /// signature; then, of what is now known to be the issuer's, the form of the claims, `typ`,
    /// issuer, audience, time and required claims. The payload is not looked at before its signature
    /// is verified.
    ///
    /// A key without `kid` is tried on any token; at most [`MAX_KEYS_TRIED`] keys are tried.
    ///
    /// # Errors
    /// The first of these that fails.
    pub fn verify(
        &self,
        token: &str,
        policy: &Policy,
        now_unix_s: u64,
    ) -> Result<Claims, JwtError> {
        if token.len() > policy.max_token_bytes {
            let limit = policy.max_token_bytes;
            return Err(JwtError::TooLong { bytes: token.len(), limit });
        }
        let parts = Parts::of(token)?;
        let header = Header::read(&text(parts.header, Part::Header)?, policy)?;
        let signature = bytes(parts.signature, Part::Signature)?;
        self.verify_signature(&header, parts.signed.as_bytes(), &signature)?;
        let text = text(parts.payload, Part::Payload)?;
        let malformed = |what| JwtError::Malformed(Malformed::Json(Part::Payload, what));
        let members = json::object(&text).map_err(malformed)?;
        header.check_type(policy)?;
        check_names(&members)?;
        check_issuer(&members, policy)?;
        check_audience(&members, policy)?;
        let Validity { expires_at, valid_until } = validity::check(&members, policy, now_unix_s)?;
        let missing = |claim: &&String| members.get(*claim).is_none_or(Value::is_null);
        if let Some(claim) = policy.required_claims.iter().find(missing) {
            return Err(JwtError::MissingClaim { claim: claim.clone() });
        }
        Ok(Claims { text, members, expires_at, valid_until })
    }

    fn verify_signature(
        &self,
        header: &Header,
        signed: &[u8],
        signature: &Vec<u8>,
    ) -> Result<(), JwtError> {
        let algorithm = header.algorithm;
        let kid = header.kid.as_ref();
        // Those of the name first: keys without one shall not use up the tries.
        let by_name = || self.keys.iter().filter(|key| kid.is_some() && key.kid.as_ref() == kid);
        let others = || self.keys.iter().filter(|key| kid.is_none() || key.kid.is_none());
        let fitting = || by_name().chain(others()).filter(|key| key.fits(algorithm));
        let mut tried = 0;
        for key in fitting().take(MAX_KEYS_TRIED) {
            if key.verify(algorithm, signed, signature) {
                return Ok(());
            }
            tried += 1;
        }
        // Only now, since a key without a name may have been the right one. In a set without any
        // name there is none to wait for.
        if let Some(kid) = kid
            && self.kids().next().is_some()
            && !self.kids().any(|known| known == kid)
        {
            return Err(JwtError::UnknownKid { kid: kid.clone() });
        }
        if tried == 0 {
            return Err(JwtError::NoFittingKey { algorithm, kid: kid.cloned() });
        }
        Err(JwtError::WrongSignature { algorithm, tried, fitting: fitting().count() })
    }
}

struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// Header and payload with the dot between them.
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, JwtError> {
        let parts = || JwtError::Malformed(Malformed::Parts(token.split('.').count()));
        let (signed, signature) = token.rsplit_once('.').ok_or_else(parts)?;
        let (header, payload) = signed.split_once('.').ok_or_else(parts)?;
        if payload.contains('.') {
            return Err(parts());
        }
        Ok(Self { header, payload, signature, signed })
    }
}

/// The one way in which these bytes are written: without padding, white space, or bits beyond the
/// last byte. Otherwise one token would have several texts.
fn bytes(encoded: &str, part: Part) -> Result<Vec<u8>, JwtError> {
    Base64UrlUnpadded::decode_vec(encoded).map_err(|_| JwtError::Malformed(Malformed::Base64(part)))
}

fn text(encoded: &str, part: Part) -> Result<String, JwtError> {
    String::from_utf8(bytes(encoded, part)?)
        .map_err(|error| JwtError::Malformed(Malformed::Json(part, error.utf8_error().to_string())))
}

/// `iss`, `sub` and `jti` are strings if they are there, whether the policy asks or not: whoever
/// reads them later shall not find another kind of value (RFC 7519, section 4.1).
fn check_names(members: &Map<String, Value>) -> Result<(), JwtError> {
    for claim in ["iss", "sub", "jti"] {
        if members.get(claim).is_some_and(|value| !value.is_string()) {
            return Err(JwtError::BadClaim { claim, rule: "a string" });
        }
    }
    Ok(())
}

fn check_issuer(members: &Map<String, Value>, policy: &Policy) -> Result<(), JwtError> {
    let Expected::OneOf(issuers) = &policy.issuers else { return Ok(()) };
    match members.get("iss").and_then(Value::as_str) {
        None => Err(JwtError::MissingClaim { claim: "iss".to_owned() }),
        Some(found) if issuers.iter().any(|issuer| issuer == found) => Ok(()),
        Some(found) => Err(JwtError::Issuer { found: found.to_owned() }),
    }
}

fn check_audience(members: &Map<String, Value>, policy: &Policy) -> Result<(), JwtError> {
    let found =
        match members.get("aud") {
            None => None,
            Some(value) => Some(Claim::of(value).strings().ok_or(JwtError::BadClaim {
                claim: "aud",
                rule: "a string or an array of strings",
            })?),
        };
    let Expected::OneOf(audiences) = &policy.audiences else { return Ok(()) };
    let Some(found) = found else {
        return Err(JwtError::MissingClaim { claim: "aud".to_owned() });
    };
    if found.iter().any(|found| audiences.iter().any(|audience| audience == found)) {
        return Ok(());
    }
    Err(JwtError::Audience { found: found.into_iter().map(str::to_owned).collect() })
}
