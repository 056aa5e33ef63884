//! How a token of a client is verified on behalf of a guest.

use std::time::Duration;

use auth::jwt::{Claims, JwtError};

use crate::bindings::portcullis::host::credentials::{TokenError, VerifiedToken};
use crate::keyring::{Look, Miss, TokenKeys};

impl TokenKeys {
    /// Verifies a token at `now`, time since 1970; once more with other keys where there are some now.
    pub(crate) fn verify(&self, token: &str, now: Duration) -> Result<VerifiedToken, TokenError> {
        match self.verify_once(token, now)? {
            Ok(claims) => Ok(verified(&claims, now)),
            Err(error) => {
                let looked = miss(&error).map_or(Look::Same, |miss| self.source.missed(miss));
                match looked {
                    Look::Same => Err(refused(&error)),
                    Look::Failed(why) => Err(TokenError::Unavailable(format!(
                        "{error}; the key set could not be fetched again: {why}"
                    ))),
                    Look::UnderWay => Err(TokenError::Unavailable(format!(
                        "{error}; the key set is being fetched again"
                    ))),
                    Look::Changed => match self.verify_once(token, now)? {
                        Ok(claims) => Ok(verified(&claims, now)),
                        Err(error) => Err(refused(&error)),
                    },
                }
            }
        }
    }

    fn verify_once(
        &self,
        token: &str,
        now: Duration,
    ) -> Result<Result<Claims, JwtError>, TokenError> {
        let keys = self.source.current().map_err(TokenError::Unavailable)?;
        Ok(keys.verify(token, &self.policy, now.as_secs()))
    }
}

/// What other keys could change.
fn miss(error: &JwtError) -> Option<Miss> {
    match error {
        JwtError::UnknownKid { .. } => Some(Miss::UnknownKey),
        JwtError::WrongSignature { .. } | JwtError::NoFittingKey { .. } => {
            Some(Miss::WrongSignature)
        }
        _ => None,
    }
}

fn verified(claims: &Claims, now: Duration) -> VerifiedToken {
    let valid_for = claims.valid_until().map(|end| Duration::from_secs(end).saturating_sub(now));
    VerifiedToken {
        claims: claims.json().to_owned(),
        flattened: claims.flattened(),
        subject: claims.subject().map(str::to_owned),
        valid_for_ms: valid_for.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    }
}

fn refused(error: &JwtError) -> TokenError {
    let sentence = error.to_string();
    match error {
        JwtError::TooLong { .. } | JwtError::Malformed(_) => TokenError::Malformed(sentence),
        JwtError::Expired { .. } | JwtError::TooOld { .. } => TokenError::Expired(sentence),
        JwtError::NotYetValid { .. } => TokenError::NotYetValid(sentence),
        JwtError::AlgorithmNotAllowed { .. }
        | JwtError::NoFittingKey { .. }
        | JwtError::UnknownKid { .. }
        | JwtError::WrongSignature { .. }
        | JwtError::MissingClaim { .. }
        | JwtError::BadClaim { .. }
        | JwtError::Issuer { .. }
        | JwtError::Audience { .. }
        | JwtError::TokenType { .. } => TokenError::Wrong(sentence),
    }
}
