//! What a token says about its signature (RFC 7515, section 4).

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::{JwtError, Malformed, Part};
use super::json;
use super::policy::Policy;

/// The members of a header that matter. It is not to be believed before the signature is verified;
/// until then it only chooses among what the policy and the keys allow.
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) token_type: Option<String>,
}

impl Header {
    /// Reads a header. `jku`, `jwk`, `x5u`, `x5c`, `x5t` and what is not known are not read.
    pub(super) fn read(json: &str, policy: &Policy) -> Result<Self, JwtError> {
        let malformed = |what| JwtError::Malformed(Malformed::Json(Part::Header, what));
        let members = json::object(json).map_err(malformed)?;
        // No extension is understood, and without one `crit` must not be there either.
        if members.contains_key("crit") {
            return Err(JwtError::Malformed(Malformed::Critical));
        }
        let name = text(&members, "alg")?.ok_or(missing("alg"))?;
        let allowed = |algorithm: &Algorithm| policy.algorithms.contains(algorithm);
        let Some(algorithm) = Algorithm::from_name(name).filter(allowed) else {
            return Err(JwtError::AlgorithmNotAllowed {
                found: name.to_owned(),
                allowed: policy.algorithms.clone(),
            });
        };
        // Read only where it decides: issuers have put odd things there.
        let token_type = match policy.token_type {
            Some(_) => text(&members, "typ")?.map(str::to_owned),
            None => None,
        };
        Ok(Self { algorithm, kid: text(&members, "kid")?.map(str::to_owned), token_type })
    }

    /// Holds the type to what the policy asks for (RFC 7515, section 4.1.9).
    pub(super) fn check_type(&self, policy: &Policy) -> Result<(), JwtError> {
        let Some(expected) = &policy.token_type else { return Ok(()) };
        let found = self.token_type.as_deref().map(media_type);
        if found.is_some_and(|found| found.eq_ignore_ascii_case(media_type(expected))) {
            return Ok(());
        }
        let found = self.token_type.clone();
        Err(JwtError::TokenType { found, expected: expected.clone() })
    }
}

fn text<'a>(
    members: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, JwtError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(missing(name)),
    }
}

fn missing(name: &'static str) -> JwtError {
    JwtError::Malformed(Malformed::HeaderMember(name))
}

/// Without `application/`, unless another `/` follows.
fn media_type(name: &str) -> &str {
    const PREFIX: &str = "application/";
    match name.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => name,
    }
}
