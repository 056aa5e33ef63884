use auth::jwt::{Expected, Expiry, Policy};

/// What is accepted of tokens and keys.
pub(super) fn of(stated: &config::KeySet) -> Policy {
    Policy {
        required_claims: stated.required_claims.clone(),
        token_type: stated.token_type.clone(),
        leeway_s: stated.leeway.as_secs(),
        expiry: Expiry::Required,
        max_age_s: stated.max_token_age.map(|age| age.as_secs()),
        ..Policy::new(
            stated.algorithms.clone(),
            expected(&stated.issuer),
            expected(&stated.audience),
        )
    }
}

fn expected(stated: &config::Expected) -> Expected {
    match stated {
        config::Expected::OneOf(texts) => Expected::OneOf(texts.clone()),
        config::Expected::Any => Expected::Any,
    }
}
