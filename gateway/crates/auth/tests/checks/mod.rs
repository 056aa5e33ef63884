//! What must hold for any token and any key set. The fuzz targets and the replay of the committed corpus
//! call the same functions; an input for which one returns has found nothing.

use base64ct::{Base64UrlUnpadded, Encoding};
use portcullis_auth::hmac;
use portcullis_auth::jwt::{
    Algorithm, Claims, Expected, Expiry, JwtError, KeySet, KeySetError, MAX_FLATTENED,
    MAX_FLATTENED_BYTES, Malformed, PemError, Policy, SkipReason,
};

#[path = "../jwt/keys.rs"]
#[allow(dead_code, reason = "not every test signs")]
pub(crate) mod keys;

/// The time of every token.
pub(crate) const NOW: u64 = 1_700_000_000;

/// What an error says at most, in bytes.
const SENTENCE_MAX: usize = 1_000;

/// Every name that [`jwt`] can answer with.
pub(crate) const OF_TOKENS: &[&str] = &[
    "accepted",
    "too long",
    "parts",
    "base64",
    "json",
    "header member",
    "critical",
    "algorithm",
    "no fitting key",
    "unknown kid",
    "wrong signature",
    "expired",
    "not yet valid",
    "too old",
    "missing claim",
    "bad claim",
    "issuer",
    "audience",
    "token type",
];

/// Every name that [`key_set`] can answer with.
pub(crate) const OF_KEY_SETS: &[&str] = &[
    "accepted",
    "accepted in part",
    "json",
    "no keys",
    "too many keys",
    "mixed",
    "not an object",
    "member",
    "use",
    "operations",
    "type",
    "curve",
    "algorithm",
    "contradiction",
    "key not allowed",
    "rsa bits",
    "rsa exponent",
    "secret bytes",
    "private",
    "empty",
    "not allowed",
    "secret too short",
    "pem malformed",
    "pem label",
    "pem content",
    "pem unknown",
    "pem unusable",
];

/// A byte for the policy and whether the rest is signed; then a token, or a header and a payload with
/// a zero byte between them, which are signed with the known secret.
pub(crate) fn jwt(input: &[u8]) -> &'static str {
    let Some((&choice, rest)) = input.split_first() else { return "parts" };
    let policy = policy(choice);
    let token = if choice & 1 == 0 {
        let Ok(token) = std::str::from_utf8(rest) else { return "parts" };
        token.to_owned()
    } else {
        signed(rest)
    };
    let mut answer = "no fitting key";
    for set in sets(&policy) {
        match set.verify(&token, &policy, NOW) {
            Ok(claims) => {
                accepted(&token, &claims, &policy);
                return "accepted";
            }
            Err(error) => {
                sentence(&error.to_string());
                // What the set says that has a key for it.
                if answer == "no fitting key" {
                    answer = of_error(&error);
                }
            }
        }
    }
    answer
}

fn policy(choice: u8) -> Policy {
    let one = |text: &str| Expected::OneOf(vec![text.to_owned()]);
    let mut policy = Policy::new(Algorithm::ALL.to_vec(), Expected::Any, Expected::Any);
    if choice & 2 != 0 {
        (policy.issuers, policy.audiences) = (one("joe"), one("us"));
    }
    if choice & 4 != 0 {
        policy.expiry = Expiry::Optional;
    }
    if choice & 8 != 0 {
        policy.max_age_s = Some(60);
    }
    if choice & 16 != 0 {
        policy.required_claims.push("sub".to_owned());
    }
    if choice & 32 != 0 {
        policy.token_type = Some("at+jwt".to_owned());
    }
    policy
}

fn sets(policy: &Policy) -> [KeySet; 2] {
    let public = format!(
        r#"{{"keys":[{{"kty":"RSA","kid":"r","n":"{}","e":"AQAB"}},
            {{"kty":"OKP","crv":"Ed25519","x":"{}"}},
            {{"kty":"EC","crv":"P-256","kid":"e","alg":"ES256","x":"{}","y":"{}"}}]}}"#,
        keys::RSA_N,
        keys::ED25519_X,
        keys::P256_X,
        keys::P256_Y
    );
    let public = KeySet::parse(&public, policy).expect("known keys");
    [KeySet::symmetric(&secret(), policy).expect("a known secret"), public]
}

fn secret() -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(keys::SECRET).expect("a known secret")
}

fn signed(input: &[u8]) -> String {
    let mut halves = input.splitn(2, |byte| *byte == 0);
    let mut encoded = || Base64UrlUnpadded::encode_string(halves.next().unwrap_or_default());
    let message = format!("{}.{}", encoded(), encoded());
    let code = hmac::sha256(&secret(), message.as_bytes());
    format!("{message}.{}", Base64UrlUnpadded::encode_string(&code))
}

/// What an accepted token must be like, whoever signed it.
fn accepted(token: &str, claims: &Claims, policy: &Policy) {
    assert!(token.len() <= policy.max_token_bytes);
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(Base64UrlUnpadded::encode_string(claims.json().as_bytes()), parts[1]);
    assert!(claims.valid_until().is_none_or(|until| NOW < until));
    let flattened = claims.flattened();
    let bytes = |(path, texts): &(String, Vec<String>)| {
        path.len() + texts.iter().map(String::len).sum::<usize>()
    };
    assert!(flattened.len() <= MAX_FLATTENED);
    assert!(flattened.iter().map(bytes).sum::<usize>() <= MAX_FLATTENED_BYTES);
    assert!(flattened.iter().all(|(path, _)| claims.claim(path).is_some()));
    match claims.expires_at() {
        Some(expires_at) => assert!(NOW < expires_at + policy.leeway_s),
        None => assert_eq!(policy.expiry, Expiry::Optional),
    }
    if policy.issuers != Expected::Any {
        assert_eq!(claims.issuer(), Some("joe"));
        assert!(
            claims
                .claim("aud")
                .and_then(|aud| aud.strings())
                .is_some_and(|aud| aud.contains(&"us"))
        );
    }
    for path in ["sub", "a.b", "", ".", "realm_access.roles"] {
        let _ = claims.claim(path).map(|claim| (claim.words(), claim.to_json()));
    }
    if !policy.required_claims.is_empty() {
        assert!(claims.subject().is_some());
    }
}

/// An error is one line that somebody can read.
fn sentence(text: &str) {
    assert!(text.len() <= SENTENCE_MAX, "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
}

fn of_error(error: &JwtError) -> &'static str {
    match error {
        JwtError::TooLong { .. } => "too long",
        JwtError::Malformed(Malformed::Parts(_)) => "parts",
        JwtError::Malformed(Malformed::Base64(_)) => "base64",
        JwtError::Malformed(Malformed::Json(..)) => "json",
        JwtError::Malformed(Malformed::HeaderMember(_)) => "header member",
        JwtError::Malformed(Malformed::Critical) => "critical",
        JwtError::AlgorithmNotAllowed { .. } => "algorithm",
        JwtError::NoFittingKey { .. } => "no fitting key",
        JwtError::UnknownKid { .. } => "unknown kid",
        JwtError::WrongSignature { .. } => "wrong signature",
        JwtError::Expired { .. } => "expired",
        JwtError::NotYetValid { .. } => "not yet valid",
        JwtError::TooOld { .. } => "too old",
        JwtError::MissingClaim { .. } => "missing claim",
        JwtError::BadClaim { .. } => "bad claim",
        JwtError::Issuer { .. } => "issuer",
        JwtError::Audience { .. } => "audience",
        JwtError::TokenType { .. } => "token type",
    }
}

/// A byte for what the rest is: a JWKS, a PEM or a secret.
pub(crate) fn key_set(input: &[u8]) -> &'static str {
    let Some((&choice, rest)) = input.split_first() else { return "json" };
    let mut policy = Policy::new(Algorithm::ALL.to_vec(), Expected::Any, Expected::Any);
    policy.max_keys = 4;
    if choice & 4 != 0 {
        policy.algorithms = vec![Algorithm::Es256];
    }
    let read = match (choice % 4, std::str::from_utf8(rest)) {
        (2.., _) => KeySet::symmetric(rest, &policy),
        (0, Ok(text)) => KeySet::parse(text, &policy),
        (_, Ok(text)) => KeySet::pem(text, &policy),
        (_, Err(_)) => return "json",
    };
    match read {
        Ok(set) => {
            assert!((1..=policy.max_keys).contains(&(set.len() + set.skipped().len())));
            assert!(set.len() > 0 && set.kids().count() <= set.len());
            set.skipped().iter().for_each(|key| sentence(&key.to_string()));
            assert!(set.verify("e30.e30.", &policy, NOW).is_err());
            if set.skipped().is_empty() { "accepted" } else { "accepted in part" }
        }
        Err(error) => {
            sentence(&error.to_string());
            of_key_set_error(&error)
        }
    }
}

fn of_key_set_error(error: &KeySetError) -> &'static str {
    match error {
        // Longer than an input of libFuzzer.
        KeySetError::TooLong { .. } | KeySetError::Json(_) => "json",
        KeySetError::NoKeys => "no keys",
        KeySetError::TooManyKeys { .. } => "too many keys",
        KeySetError::Mixed => "mixed",
        KeySetError::NoUsableKey { skipped } => {
            skipped.first().map_or("empty", |key| of_reason(&key.reason))
        }
        KeySetError::NotAllowed { .. } => "not allowed",
        KeySetError::SecretTooShort { .. } => "secret too short",
        KeySetError::Pem(PemError::Malformed) => "pem malformed",
        KeySetError::Pem(PemError::Label(_)) => "pem label",
        KeySetError::Pem(PemError::Content) => "pem content",
        KeySetError::Pem(PemError::Unknown) => "pem unknown",
        KeySetError::Pem(PemError::Unusable(_)) => "pem unusable",
    }
}

fn of_reason(reason: &SkipReason) -> &'static str {
    match reason {
        SkipReason::NotAnObject => "not an object",
        SkipReason::Member { .. } => "member",
        SkipReason::Use(_) => "use",
        SkipReason::Operations => "operations",
        SkipReason::Type(_) => "type",
        SkipReason::Curve(_) => "curve",
        SkipReason::Algorithm(_) => "algorithm",
        SkipReason::Contradiction(_) => "contradiction",
        SkipReason::NotAllowed => "key not allowed",
        SkipReason::RsaBits { .. } => "rsa bits",
        SkipReason::RsaExponent => "rsa exponent",
        SkipReason::SecretBytes { .. } => "secret bytes",
        SkipReason::Private => "private",
    }
}
