//! When a token is valid.

use serde_json::{Map, Value};

use super::error::JwtError;
use super::policy::{Expiry, Policy};

/// 9999-12-31T23:59:59Z. What lies behind it is a mistake, such as milliseconds, and would make a
/// token valid for ever.
const LAST_S: u64 = 253_402_300_799;

const RULE: &str = "a number of seconds since 1970, from 0 to 253402300799 (the year 9999)";

/// Ends of a token, in Unix seconds.
pub(super) struct Validity {
    /// `exp`.
    pub(super) expires_at: Option<u64>,
    /// When the policy begins to refuse it.
    pub(super) valid_until: Option<u64>,
}

/// Holds `exp`, `nbf` and `iat` to the policy at this time, in Unix seconds. Sums saturate: with a
/// leeway without bounds everything is valid.
pub(super) fn check(
    claims: &Map<String, Value>,
    policy: &Policy,
    now: u64,
) -> Result<Validity, JwtError> {
    let leeway_s = policy.leeway_s;
    // A part of a second never makes a token valid for longer.
    let expires_at = numeric_date(claims, "exp", f64::floor)?;
    match expires_at {
        Some(expired_at) if now >= expired_at.saturating_add(leeway_s) => {
            return Err(JwtError::Expired { expired_at, now, leeway_s });
        }
        None if policy.expiry == Expiry::Required => {
            return Err(JwtError::MissingClaim { claim: "exp".to_owned() });
        }
        _ => {}
    }
    for claim in ["nbf", "iat"] {
        if let Some(from) = numeric_date(claims, claim, f64::ceil)?
            && from > now.saturating_add(leeway_s)
        {
            return Err(JwtError::NotYetValid { claim, from, now, leeway_s });
        }
    }
    let mut valid_until = expires_at.map(|expires_at| expires_at.saturating_add(leeway_s));
    if let Some(max_age_s) = policy.max_age_s {
        let issued_at = numeric_date(claims, "iat", f64::floor)?
            .ok_or_else(|| JwtError::MissingClaim { claim: "iat".to_owned() })?;
        let age_s = now.saturating_sub(issued_at);
        if age_s > max_age_s.saturating_add(leeway_s) {
            return Err(JwtError::TooOld { age_s, max_age_s });
        }
        // At this age it is still accepted, a second later not.
        let too_old =
            issued_at.saturating_add(max_age_s).saturating_add(leeway_s).saturating_add(1);
        valid_until = Some(valid_until.map_or(too_old, |end| end.min(too_old)));
    }
    Ok(Validity { expires_at, valid_until })
}

/// A NumericDate (RFC 7519, section 2) in whole seconds. What is not one is refused, not taken for
/// missing: a token whose `exp` cannot be read has none that can be relied on.
fn numeric_date(
    claims: &Map<String, Value>,
    claim: &'static str,
    round: fn(f64) -> f64,
) -> Result<Option<u64>, JwtError> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let seconds = value.as_u64().or_else(|| {
        let seconds = value.as_f64()?;
        // Below 2^53, so that the conversion is exact; NaN is in no range.
        (0.0..=LAST_S as f64).contains(&seconds).then(|| round(seconds) as u64)
    });
    match seconds {
        Some(seconds @ 0..=LAST_S) => Ok(Some(seconds)),
        _ => Err(JwtError::BadClaim { claim, rule: RULE }),
    }
}
