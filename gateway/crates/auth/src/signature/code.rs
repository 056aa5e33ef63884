use ring::digest::{SHA256, digest};

use super::key::{PublicKey, SIGNED, SigningKey};

/// Bytes of a signature of compiled code.
pub const CODE_BYTES: usize = SIGNED;

/// Keeps it apart from what is signed about extensions: whoever vouches for a component does not vouch for code, which runs
/// with the gateway's own rights.
const DOMAIN: &[u8] = b"portcullis compiled code 1\0";

impl SigningKey {
    /// Says that these bytes are what a compiler wrote.
    #[must_use]
    pub fn vouch_for_code(&self, bytes: &[u8]) -> [u8; CODE_BYTES] {
        let mut signature = [0; CODE_BYTES];
        for (to, from) in signature.iter_mut().zip(self.sign(&message(bytes))) {
            *to = from;
        }
        signature
    }
}

impl PublicKey {
    /// Whether the owner of the key said so.
    #[must_use]
    pub fn vouches_for_code(&self, bytes: &[u8], signature: &[u8; CODE_BYTES]) -> bool {
        self.verifies(&message(bytes), signature)
    }
}

/// What is signed: the domain, and the SHA-256 of the bytes.
fn message(bytes: &[u8]) -> Vec<u8> {
    [DOMAIN, digest(&SHA256, bytes).as_ref()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_and_only_those_bytes() {
        let key = |seed| SigningKey::from_seed(&[seed; 32]).unwrap();
        let signature = key(1).vouch_for_code(b"code");
        assert!(key(1).public().vouches_for_code(b"code", &signature));
        assert!(!key(1).public().vouches_for_code(b"cod", &signature));
        assert!(!key(2).public().vouches_for_code(b"code", &signature));
        // What is signed about an extension is no word about code.
        let bare = key(1).sign(digest(&SHA256, b"code").as_ref()).try_into().unwrap();
        assert!(!key(1).public().vouches_for_code(b"code", &bare));
    }
}
