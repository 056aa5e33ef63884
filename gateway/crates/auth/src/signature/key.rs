use std::error::Error;
use std::fmt;

use base64ct::{Base64, Encoding};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::manifest::{digest, hexadecimal};

/// Bytes of a signature (RFC 8032, section 5.1.6).
pub(super) const SIGNED: usize = 64;

/// Before the base64 of a key, and before the digits that name it.
const PREFIX: &str = "ed25519:";

/// What stands before the 32 bytes of a private key in PKCS#8 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// The first eight bytes of the SHA-256 of a public key: enough to say which of a few keys is meant, and never what a
/// decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

impl KeyId {
    pub(super) const WANTED: &str = "\"ed25519:\" and 16 hexadecimal digits";

    pub(super) fn parse(text: &str) -> Option<Self> {
        text.strip_prefix(PREFIX).and_then(digest).map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", hexadecimal(&self.0))
    }
}

/// A key that signatures are verified with. Displays as `gateway.toml` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads `ed25519:` and 32 bytes in base64.
    ///
    /// # Errors
    /// The text is something else.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let coded = text.strip_prefix(PREFIX).ok_or(KeyError::Public)?;
        let bytes = Base64::decode_vec(coded).map_err(|_| KeyError::Public)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::Public)
    }

    /// What signatures call it.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.0);
        let mut id = [0; 8];
        for (to, from) in id.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        KeyId(id)
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", Base64::encode_string(&self.0))
    }
}

/// A key that signatures are made with.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key of 32 bytes that nobody can guess.
    ///
    /// # Errors
    /// Never for 32 bytes, as far as is known.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| KeyError::Private)
    }

    /// Reads a private key in PEM, as [`pem`](Self::pem) and `openssl genpkey -algorithm ed25519` write it.
    ///
    /// # Errors
    /// The text is something else.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let coded = pem.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let coded: String = coded.ok_or(KeyError::Private)?.split_whitespace().collect();
        let der = Base64::decode_vec(&coded).map_err(|_| KeyError::Private)?;
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
        key.map(Self).map_err(|_| KeyError::Private)
    }

    /// The key of these 32 bytes in PEM (PKCS#8, RFC 8410), which is a secret.
    #[must_use]
    pub fn pem(seed: &[u8; 32]) -> String {
        let der = [&PKCS8[..], &seed[..]].concat();
        format!("{BEGIN}\n{}\n{END}\n", Base64::encode_string(&der))
    }

    /// What others verify its signatures with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(self.0.public_key().as_ref()) {
            *to = *from;
        }
        PublicKey(bytes)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

/// Shows whose it is only.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public().id().to_string()).finish()
    }
}

/// Why a text is not a key. Displays as the end of a sentence that begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It is no public key.
    Public,
    /// It is no private key.
    Private,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => {
                "is not a public key; write \"ed25519:\" and 32 bytes in base64, as \
                 `portcullis extension keygen` shows it"
            }
            Self::Private => {
                "is not a private key of Ed25519 in PEM; `portcullis extension keygen` makes one"
            }
        })
    }
}

impl Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        digest(hex).unwrap()
    }

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn rfc_8032() {
        let seed = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let public = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signed: [u8; SIGNED] = bytes(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        let key = SigningKey::from_seed(&seed).unwrap();
        assert_eq!(key.public(), PublicKey(public));
        assert_eq!(key.sign(&[0x72]), signed);
        assert!(key.public().verifies(&[0x72], &signed));
        assert!(!key.public().verifies(&[0x73], &signed));
        assert!(!key.public().verifies(&[0x72], &signed[..63]));
    }

    /// RFC 8410, section 10.3.
    #[test]
    fn private_keys_are_pkcs8() {
        let seed = bytes("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842");
        let pem = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----\n";
        assert_eq!(SigningKey::pem(&seed), pem);
        let key = SigningKey::from_pem(pem).unwrap();
        assert_eq!(key.public(), SigningKey::from_seed(&seed).unwrap().public());
        for bad in ["", "x", &pem.replace("MC4C", "MC5C"), &pem.replace("PRIVATE", "PUBLIC")] {
            assert_eq!(SigningKey::from_pem(bad).unwrap_err(), KeyError::Private, "{bad}");
        }
    }

    #[test]
    fn public_keys_are_texts() {
        let key = SigningKey::from_seed(&[3; 32]).unwrap().public();
        let text = key.to_string();
        assert_eq!(PublicKey::parse(&text), Ok(key));
        assert_eq!(KeyId::parse(&key.id().to_string()), Some(key.id()));
        for bad in ["", "ed25519:", &text[8..], &text[..text.len() - 4], &format!("{text}A")] {
            assert_eq!(PublicKey::parse(bad), Err(KeyError::Public), "{bad}");
        }
    }
}
