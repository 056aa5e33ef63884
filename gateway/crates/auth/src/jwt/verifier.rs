//! The back end: the interface that jsonwebtoken has for one, on ring.

use jsonwebtoken::crypto::JwtVerifier;
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

/// One key with the algorithm for which it is used now.
///
/// It is made for each token and borrows its key: jsonwebtoken would keep it in a provider that is
/// a global of the process, and in a box per token.
pub(super) struct RingVerifier<'k> {
    pub(super) algorithm: Algorithm,
    pub(super) key: &'k DecodingKey,
}

impl Verifier<Vec<u8>> for RingVerifier<'_> {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        // Whoever chose the key has looked already. Taking a public key for a secret would be the
        // end of it all, so it is looked at where it would happen, too.
        if self.key.family() != self.algorithm.family() {
            return Err(Error::new());
        }
        let verified = match (self.key.kind(), method(self.algorithm)?) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, Method::Rsa(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (DecodingKeyKind::SecretOrDer(point), Method::Curve(algorithm)) => {
                UnparsedPublicKey::new(algorithm, point).verify(message, signature)
            }
            (DecodingKeyKind::SecretOrDer(secret), Method::Hmac(algorithm)) => {
                hmac::verify(&hmac::Key::new(algorithm, secret), message, signature)
            }
            _ => return Err(Error::new()),
        };
        verified.map_err(|_| Error::new())
    }
}

impl JwtVerifier for RingVerifier<'_> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

enum Method {
    Hmac(hmac::Algorithm),
    Rsa(&'static RsaParameters),
    Curve(&'static dyn VerificationAlgorithm),
}

fn method(algorithm: Algorithm) -> Result<Method, Error> {
    Ok(match algorithm {
        Algorithm::HS256 => Method::Hmac(hmac::HMAC_SHA256),
        Algorithm::HS384 => Method::Hmac(hmac::HMAC_SHA384),
        Algorithm::HS512 => Method::Hmac(hmac::HMAC_SHA512),
        Algorithm::RS256 => Method::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Method::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Method::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Method::Rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Method::Rsa(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Method::Rsa(&RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Method::Curve(&ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Method::Curve(&ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Method::Curve(&ED25519),
        _ => return Err(Error::new()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2, whose key is taken for what it is not.
    #[test]
    fn a_key_of_another_family_verifies_nothing() {
        let message = b"what do ya want for nothing?";
        let tag = crate::hmac::sha256(b"Jefe", message).to_vec();
        let secret = DecodingKey::from_secret(b"Jefe").unwrap();
        let verify = |key: &DecodingKey, algorithm| {
            RingVerifier { algorithm, key }.verify(message, &tag).is_ok()
        };
        assert!(verify(&secret, Algorithm::HS256));
        for key in [
            DecodingKey::from_rsa_der(b"Jefe"),
            DecodingKey::from_ec_der(b"Jefe"),
            DecodingKey::from_ed_der(b"Jefe"),
            DecodingKey::from_rsa_raw_components(b"Jefe", b"Jefe"),
        ] {
            assert!(!verify(&key, Algorithm::HS256), "{key:?}");
        }
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS512] {
            assert!(!verify(&secret, algorithm), "{algorithm:?}");
        }
    }
}
