//! Tokens made for tests: every algorithm, and headers and payloads that nobody would sign.

use base64ct::{Base64UrlUnpadded, Encoding};
use portcullis_auth::jwt::{Algorithm, Expected, KeySet, Policy};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};

use crate::keys;

/// 2023-11-14T22:13:20Z, a moment for tests.
pub(crate) const NOW: u64 = 1_700_000_000;

pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const AUDIENCE: &str = "portcullis";

/// A payload that [`policy`] accepts at [`NOW`].
pub(crate) const PAYLOAD: &str = r#"{"iss":"https://id.example","aud":"portcullis","sub":"meter-7","iat":1700000000,"exp":1700003600,"realm_access":{"roles":["meters","north"]}}"#;

/// A policy for one issuer and one audience.
pub(crate) fn policy(algorithms: &[Algorithm]) -> Policy {
    let one = |text: &str| Expected::OneOf(vec![text.to_owned()]);
    Policy::new(algorithms.to_vec(), one(ISSUER), one(AUDIENCE))
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(text).expect("base64url without padding")
}

pub(crate) fn secret() -> Vec<u8> {
    decode(keys::SECRET)
}

/// A token with this algorithm in its header.
pub(crate) fn token(algorithm: Algorithm, payload: &str) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
    signed(algorithm, &header, payload)
}

/// A token with any header, signed with the known key for this algorithm.
pub(crate) fn signed(algorithm: Algorithm, header: &str, payload: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let signature = signature(algorithm, message.as_bytes());
    format!("{message}.{}", encode(signature))
}

/// The signature of the known key for this algorithm.
pub(crate) fn signature(algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::Hs256 => mac(hmac::HMAC_SHA256, &secret(), message),
        Algorithm::Hs384 => mac(hmac::HMAC_SHA384, &secret(), message),
        Algorithm::Hs512 => mac(hmac::HMAC_SHA512, &secret(), message),
        Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256, message),
        Algorithm::Rs384 => rsa(&RSA_PKCS1_SHA384, message),
        Algorithm::Rs512 => rsa(&RSA_PKCS1_SHA512, message),
        Algorithm::Ps256 => rsa(&RSA_PSS_SHA256, message),
        Algorithm::Ps384 => rsa(&RSA_PSS_SHA384, message),
        Algorithm::Ps512 => rsa(&RSA_PSS_SHA512, message),
        Algorithm::Es256 => {
            let key = [keys::P256_D, keys::P256_X, keys::P256_Y];
            ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, key, message)
        }
        Algorithm::Es384 => {
            let key = [keys::P384_D, keys::P384_X, keys::P384_Y];
            ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, key, message)
        }
        Algorithm::EdDsa => {
            let (seed, public) = (decode(keys::ED25519_D), decode(keys::ED25519_X));
            let key = Ed25519KeyPair::from_seed_and_public_key(&seed, &public).expect("the key");
            key.sign(message).as_ref().to_vec()
        }
    }
}

pub(crate) fn mac(algorithm: hmac::Algorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
}

fn rsa(padding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let key = RsaKeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n: decode(keys::RSA_N), e: vec![1, 0, 1] },
        d: decode(keys::RSA_D),
        p: decode(keys::RSA_P),
        q: decode(keys::RSA_Q),
        dP: decode(keys::RSA_DP),
        dQ: decode(keys::RSA_DQ),
        qInv: decode(keys::RSA_QI),
    })
    .expect("the key");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), message, &mut signature).expect("a signature");
    signature
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, key: [&str; 3], message: &[u8]) -> Vec<u8> {
    let [d, x, y] = key.map(decode);
    let random = SystemRandom::new();
    let point = [&[4], &*x, &*y].concat();
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, &d, &point, &random)
        .expect("the key")
        .sign(&random, message)
        .expect("a signature")
        .as_ref()
        .to_vec()
}

/// The known key for this algorithm as a JWK, with these members besides.
pub(crate) fn jwk(algorithm: Algorithm, more: &str) -> String {
    let key = match algorithm {
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
            format!(r#""kty":"oct","k":"{}""#, keys::SECRET)
        }
        Algorithm::Es256 => point("P-256", keys::P256_X, keys::P256_Y),
        Algorithm::Es384 => point("P-384", keys::P384_X, keys::P384_Y),
        Algorithm::EdDsa => format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, keys::ED25519_X),
        _ => format!(r#""kty":"RSA","n":"{}","e":"AQAB""#, keys::RSA_N),
    };
    format!("{{{key}{more}}}")
}

fn point(curve: &str, x: &str, y: &str) -> String {
    format!(r#""kty":"EC","crv":"{curve}","x":"{x}","y":"{y}""#)
}

/// A JWKS of these keys.
pub(crate) fn jwks(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// A set of the known key for this algorithm, without `kid`.
pub(crate) fn set(algorithm: Algorithm, policy: &Policy) -> KeySet {
    KeySet::parse(&jwks(&[jwk(algorithm, "")]), policy).expect("the key can be used")
}
