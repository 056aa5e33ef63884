use auth::jwt::{Algorithm, Expected, Expiry, Policy};

/// What is accepted of tokens and keys.
pub(super) fn of(stated: &config::KeySet) -> Policy {
    let algorithms = stated.algorithms.iter().map(|name| algorithm(*name)).collect();
    Policy {
        required_claims: stated.required_claims.clone(),
        token_type: stated.token_type.clone(),
        leeway_s: stated.leeway.as_secs(),
        expiry: Expiry::Required,
        max_age_s: stated.max_token_age.map(|age| age.as_secs()),
        ..Policy::new(algorithms, expected(&stated.issuer), expected(&stated.audience))
    }
}

fn expected(stated: &config::Expected) -> Expected {
    match stated {
        config::Expected::OneOf(texts) => Expected::OneOf(texts.clone()),
        config::Expected::Any => Expected::Any,
    }
}

fn algorithm(stated: config::Algorithm) -> Algorithm {
    match stated {
        config::Algorithm::Hs256 => Algorithm::Hs256,
        config::Algorithm::Hs384 => Algorithm::Hs384,
        config::Algorithm::Hs512 => Algorithm::Hs512,
        config::Algorithm::Rs256 => Algorithm::Rs256,
        config::Algorithm::Rs384 => Algorithm::Rs384,
        config::Algorithm::Rs512 => Algorithm::Rs512,
        config::Algorithm::Ps256 => Algorithm::Ps256,
        config::Algorithm::Ps384 => Algorithm::Ps384,
        config::Algorithm::Ps512 => Algorithm::Ps512,
        config::Algorithm::Es256 => Algorithm::Es256,
        config::Algorithm::Es384 => Algorithm::Es384,
        config::Algorithm::EdDsa => Algorithm::EdDsa,
    }
}
