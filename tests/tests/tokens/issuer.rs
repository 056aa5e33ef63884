//! Who issues tokens: keys of Ed25519 from fixed seeds, and a public key of RSA whose private one is not used.

use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64UrlUnpadded, Encoding};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::keys;

/// Signs with one key.
#[derive(Debug)]
pub(crate) struct Issuer {
    kid: String,
    pair: Ed25519KeyPair,
}

impl Issuer {
    /// The key of this number.
    pub(crate) fn new(number: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).expect("a seed");
        Self { kid: format!("k{number}"), pair }
    }

    /// A token with these claims, an issuer, an audience and an end in a minute; a claim that is `null` is none.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "kid": self.kid });
        self.signed(&header.to_string(), &payload(claims))
    }

    /// A token with any header.
    pub(crate) fn signed(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", encode(signature.as_ref()))
    }

    fn jwk(&self) -> Value {
        let x = encode(self.pair.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x })
    }
}

/// The public keys of these issuers, and one of RSA.
pub(crate) fn jwks(issuers: &[&Issuer]) -> String {
    let mut keys: Vec<_> = issuers.iter().map(|issuer| issuer.jwk()).collect();
    keys.push(json!({ "kty": "RSA", "kid": "rsa", "n": keys::RSA_N, "e": "AQAB" }));
    json!({ "keys": keys }).to_string()
}

/// A token that names an algorithm of secrets, with the published RSA key as the secret.
pub(crate) fn confused(claims: &Value) -> String {
    let header = json!({ "alg": "HS256", "kid": "rsa" }).to_string();
    let signed = format!("{}.{}", encode(header), encode(payload(claims)));
    let code = auth::hmac::sha256(keys::RSA_PEM.as_bytes(), signed.as_bytes());
    format!("{signed}.{}", encode(code))
}

/// A token without a signature.
pub(crate) fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(payload(claims)))
}

/// Now, in Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

/// The usual claims with these in their place.
pub(crate) fn payload(claims: &Value) -> String {
    let mut all =
        json!({ "iss": "plant", "aud": "mqtt", "sub": "meter-7", "iat": now(), "exp": now() + 60 });
    let members = all.as_object_mut().expect("an object");
    for (name, value) in claims.as_object().into_iter().flatten() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    all.to_string()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}
