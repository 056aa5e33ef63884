//! Signatures of extensions: who vouches for a component, and for what it is.
//!
//! A [`Signature`] is a small JSON text beside the component. It names the key, states in a [`Manifest`] what the
//! component is, and signs that with Ed25519 (RFC 8032). What is signed are not the bytes of the JSON but the fields in
//! a form of their own ([`Manifest::message`]), so that no two manifests have one signature whatever their text looks
//! like. The component itself is in it by its SHA-256.
//!
//! Compiled code is signed by itself ([`SigningKey::vouch_for_code`]), in words that are nothing of the above.

mod code;
mod error;
mod key;
mod manifest;

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

pub use code::CODE_BYTES;
pub use error::SignatureError;
pub use key::{KeyError, KeyId, PublicKey, SigningKey};
pub use manifest::{MAX_LIST, MAX_NAME_BYTES, Manifest};

use manifest::{digest, hexadecimal};

/// Bytes of the text of a signature at most.
pub const MAX_SIGNATURE_TEXT_BYTES: usize = 16 * 1024;

/// What the field `format` says.
const FORMAT: &str = "portcullis-extension-signature-1";

/// Before the digits of a digest.
const SHA256: &str = "sha256:";

/// A manifest, and a signature of it that may or may not be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    key: KeyId,
    manifest: Manifest,
    bytes: Vec<u8>,
}

impl Signature {
    /// Signs what a component is.
    ///
    /// # Errors
    /// A field of the manifest is outside of its bounds.
    pub fn make(manifest: Manifest, key: &SigningKey) -> Result<Self, SignatureError> {
        manifest.check()?;
        let id = key.public().id();
        let bytes = key.sign(&manifest.message(id));
        Ok(Self { key: id, manifest, bytes })
    }

    /// Reads the text of a signature. Nothing of it is verified.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        if text.len() > MAX_SIGNATURE_TEXT_BYTES {
            return Err(SignatureError::TooLong(text.len()));
        }
        let text: Text =
            serde_json::from_str(text).map_err(|error| SignatureError::Text(error.to_string()))?;
        if text.format != FORMAT {
            return Err(SignatureError::Format(text.format));
        }
        let field = |name, wanted| SignatureError::Field { name, wanted };
        let key = KeyId::parse(&text.key).ok_or(field("key", KeyId::WANTED))?;
        let component = text.component.strip_prefix(SHA256).and_then(digest);
        let wanted = "\"sha256:\" and 64 hexadecimal digits";
        let component = component.ok_or(field("component", wanted))?;
        let bytes = Base64::decode_vec(&text.signature).ok().filter(|it| it.len() == key::SIGNED);
        let bytes = bytes.ok_or(field("signature", "64 bytes in base64"))?;
        let (name, release, hooks, grants) = (text.name, text.release, text.hooks, text.grants);
        let manifest = Manifest { name, release, component, hooks, grants };
        manifest.check()?;
        Ok(Self { key, manifest, bytes })
    }

    /// The text that [`parse`](Self::parse) reads.
    #[must_use]
    pub fn text(&self) -> String {
        let Manifest { name, release, component, hooks, grants } = &self.manifest;
        let text = Text {
            format: FORMAT.to_owned(),
            key: self.key.to_string(),
            component: format!("{SHA256}{}", hexadecimal(component)),
            name: name.clone(),
            release: release.clone(),
            hooks: hooks.clone(),
            grants: grants.clone(),
            signature: Base64::encode_string(&self.bytes),
        };
        // Texts, and lists of them, can always be written.
        serde_json::to_string_pretty(&text).unwrap_or_default() + "\n"
    }

    /// Which key it says that it was made with.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// What it says of the component, whether or not that is verified.
    #[must_use]
    pub fn claim(&self) -> &Manifest {
        &self.manifest
    }

    /// What the owner of `key` says of these bytes.
    ///
    /// # Errors
    /// The owner of `key` has not signed this, or has signed other bytes.
    pub fn verify(&self, key: &PublicKey, component: &[u8]) -> Result<&Manifest, SignatureError> {
        if self.key != key.id() || !key.verifies(&self.manifest.message(self.key), &self.bytes) {
            return Err(SignatureError::Wrong(self.key));
        }
        let found = ring::digest::digest(&ring::digest::SHA256, component);
        if found.as_ref() != self.manifest.component {
            let (signed, found) =
                (hexadecimal(&self.manifest.component), hexadecimal(found.as_ref()));
            return Err(SignatureError::OtherComponent { signed, found });
        }
        Ok(&self.manifest)
    }
}

/// A field that is not known may be one that matters, so it is refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: String,
    key: String,
    component: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    hooks: BTreeSet<String>,
    grants: BTreeSet<String>,
    signature: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"abc";

    /// FIPS 180-4, the example of one block.
    const OF_COMPONENT: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn manifest() -> Manifest {
        let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Manifest {
            name: "acl".to_owned(),
            release: Some("1.2.0".to_owned()),
            component: digest(OF_COMPONENT).unwrap(),
            hooks: texts(&["authorizer"]),
            grants: texts(&["config", "log"]),
        }
    }

    fn signed() -> (Signature, PublicKey) {
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        (Signature::make(manifest(), &key).unwrap(), key.public())
    }

    #[test]
    fn what_was_signed_is_read_back_and_verified() {
        let (signature, key) = signed();
        let again = Signature::parse(&signature.text()).unwrap();
        assert_eq!(again, signature);
        assert_eq!(again.verify(&key, COMPONENT), Ok(&manifest()));
        let other = SigningKey::from_seed(&[2; 32]).unwrap().public();
        assert_eq!(again.verify(&other, COMPONENT), Err(SignatureError::Wrong(key.id())));
        let said = again.verify(&key, b"abd").unwrap_err().to_string();
        assert!(said.contains("another component") && said.contains(OF_COMPONENT), "{said}");
    }

    #[test]
    fn a_change_of_any_field_is_noticed() {
        let (signature, key) = signed();
        let text = signature.text();
        for (from, to) in [
            ("\"acl\"", "\"acm\""),
            ("\"1.2.0\"", "\"1.2.1\""),
            ("\"release\": \"1.2.0\",", ""),
            ("\"authorizer\"", "\"authenticator\""),
            ("\"config\",", ""),
            ("\"config\"", "\"clock\",\"config\""),
            ("sha256:ba", "sha256:bb"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let changed = Signature::parse(&changed).expect(from);
            assert_eq!(
                changed.verify(&key, COMPONENT),
                Err(SignatureError::Wrong(key.id())),
                "{from}"
            );
        }
        // Another order, or other white space, says the same.
        let same = text.replacen("\"config\",", "", 1).replacen("\"log\"", "\"log\",\"config\"", 1);
        assert_eq!(Signature::parse(&same).unwrap().verify(&key, COMPONENT), Ok(&manifest()));
    }

    #[test]
    fn a_change_of_any_bit_of_the_signature_is_noticed() {
        let (signature, key) = signed();
        for bit in 0..signature.bytes.len() * 8 {
            let mut changed = signature.clone();
            changed.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(changed.verify(&key, COMPONENT).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn texts_that_are_no_signature_are_told_apart() {
        let text = signed().0.text();
        for (from, to, says) in [
            (FORMAT, "portcullis-extension-signature-2", "portcullis-extension-signature-2"),
            ("\"name\"", "\"title\"", "unknown field `title`"),
            ("\"name\": \"acl\",", "\"name\": \"acl\", \"name\": \"acl\",", "duplicate field"),
            ("\"name\": \"acl\",", "", "missing field `name`"),
            ("\"acl\"", "\"\"", "name"),
            ("sha256:ba", "sha256:a", "component"),
            ("ed25519:", "rsa:", "key"),
            ("\"signature\": \"", "\"signature\": \"A", "signature"),
            ("{", "[", "JSON"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let said = Signature::parse(&changed).expect_err(from).to_string();
            assert!(said.contains(says), "{from}: {said}");
        }
        let long = " ".repeat(MAX_SIGNATURE_TEXT_BYTES + 1);
        assert_eq!(Signature::parse(&long), Err(SignatureError::TooLong(long.len())));
    }
}
