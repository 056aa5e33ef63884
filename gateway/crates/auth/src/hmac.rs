//! HMAC with SHA-256 (RFC 2104), and comparison that tells nothing by the time it takes.

use ring::hmac::{HMAC_SHA256, Key};
use subtle::ConstantTimeEq;

/// Bytes of a code that [`sha256`] answers with.
pub const SHA256_BYTES: usize = 32;

/// The code of `data` under `key`. A key of any length is taken; one that keeps a secret has at
/// least [`SHA256_BYTES`] bytes that cannot be guessed (RFC 2104, section 3).
pub fn sha256(key: &[u8], data: &[u8]) -> [u8; SHA256_BYTES] {
    let tag = ring::hmac::sign(&Key::new(HMAC_SHA256, key), data);
    let mut code = [0; SHA256_BYTES];
    // The tag of SHA-256 is as long as the code, always.
    for (to, from) in code.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    code
}

/// Whether `code` is the code of `data` under `key`, all of it: a shortened one is not.
#[must_use = "only a code that fits says that the data is genuine"]
pub fn verify_sha256(key: &[u8], data: &[u8], code: &[u8]) -> bool {
    ring::hmac::verify(&Key::new(HMAC_SHA256, key), data, code).is_ok()
}

/// Whether two secrets are equal. The time that it takes depends on their lengths only, which are
/// therefore not secret.
#[must_use = "comparing does nothing else"]
pub fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 4231, test cases 1, 2 and 6.
    #[test]
    fn rfc_4231() {
        for (key, data, expected) in [
            (
                &[0x0b; 20][..],
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            let code = sha256(key, data);
            assert_eq!(hex(&code), expected);
            assert!(verify_sha256(key, data, &code));
            assert!(!verify_sha256(key, b"other data", &code));
            assert!(!verify_sha256(key, data, &code[..16]));
            assert!(!verify_sha256(key, data, &[]));
        }
    }

    #[test]
    fn equal_is_equality() {
        assert!(equal(b"", b""));
        assert!(equal(b"secret", b"secret"));
        assert!(!equal(b"secret", b"secres"));
        assert!(!equal(b"secret", b"secre"));
        assert!(!equal(b"", b"s"));
    }
}
