//! A private key that signs what is shown to others.

use std::fmt;
use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;

use crate::pem::{self, FileError};

/// A private key of RSA (2048 to 4096 bits), of the curve P-256, or of Ed25519.
pub struct SigningKey(Pair);

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// How a key signs, by its name in RFC 7518, section 3.1, and RFC 8037, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// Why a key does not sign.
#[derive(Debug)]
pub enum SigningError {
    /// The file is no PEM with a private key.
    File(FileError),
    /// The key is of no kind that signs here.
    Key {
        /// The configuration key that names the file.
        setting: String,
        /// The file.
        path: PathBuf,
    },
    /// The library could not sign.
    Library,
}

impl SigningKey {
    /// Reads the first private key of a PEM file; `setting` is what errors call it.
    ///
    /// # Errors
    /// If the file has none that can be used.
    pub fn read(setting: &str, path: &Path) -> Result<Self, SigningError> {
        let key = pem::private_key(setting, path).map_err(SigningError::File)?;
        let pair = match &key {
            PrivateKeyDer::Pkcs1(key) => rsa(RsaKeyPair::from_der(key.secret_pkcs1_der())),
            PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der()),
            _ => None,
        };
        let wrong = || SigningError::Key { setting: setting.to_owned(), path: path.to_owned() };
        pair.map(Self).ok_or_else(wrong)
    }

    /// How it signs.
    #[must_use]
    pub fn algorithm(&self) -> SigningAlgorithm {
        match self.0 {
            Pair::Rsa(_) => SigningAlgorithm::Rs256,
            Pair::P256(_) => SigningAlgorithm::Es256,
            Pair::Ed25519(_) => SigningAlgorithm::EdDsa,
        }
    }

    /// The signature of `message` in the form of RFC 7518, sections 3.3 and 3.4, and RFC 8037, section 3.1.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let random = SystemRandom::new();
        match &self.0 {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| SigningError::Library)?;
                Ok(signature)
            }
            Pair::P256(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| SigningError::Library)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

fn rsa<E>(pair: Result<RsaKeyPair, E>) -> Option<Pair> {
    pair.ok().map(|pair| Pair::Rsa(Box::new(pair)))
}

/// What the key is stands in it.
fn pkcs8(der: &[u8]) -> Option<Pair> {
    let curve = || {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        EcdsaKeyPair::from_pkcs8(algorithm, der, &SystemRandom::new()).ok()
    };
    // OpenSSL writes keys of Ed25519 without their public half.
    let edwards = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok();
    rsa(RsaKeyPair::from_pkcs8(der))
        .or_else(|| curve().map(|pair| Pair::P256(Box::new(pair))))
        .or_else(|| edwards().map(|pair| Pair::Ed25519(Box::new(pair))))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.algorithm()).finish()
    }
}

impl fmt::Display for SigningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Key { setting, path } => write!(
                f,
                "{setting} {path:?} holds no key that signs here; it must be one of RSA with 2048 to 4096 bits, of the curve P-256, or of \
                 Ed25519, in PKCS#8 (`openssl pkcs8 -topk8 -nocrypt` writes that)"
            ),
            Self::Library => {
                f.write_str("nothing can be signed: the system gives no random numbers")
            }
        }
    }
}

impl std::error::Error for SigningError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Key { .. } | Self::Library => None,
        }
    }
}
