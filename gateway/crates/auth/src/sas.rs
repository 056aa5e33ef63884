//! Shared access signatures, as clouds of Microsoft take them for passwords: an HMAC over what is opened and until when.

use std::error::Error;
use std::fmt;
use std::fmt::Write as _;

use base64ct::{Base64, Encoding};

use crate::hmac;

/// Why a key does not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SasKeyError {
    /// It is not base64, with padding.
    Base64,
    /// It is empty.
    Empty,
}

/// Opens `resource` until `expiry_unix_s`. `key` is in base64, as the cloud shows it; `policy` is the name of the policy that it
/// belongs to, where it is not a device's own.
///
/// # Errors
/// If the key is none.
pub fn token(
    resource: &str,
    key: &str,
    policy: Option<&str>,
    expiry_unix_s: u64,
) -> Result<String, SasKeyError> {
    let key = Base64::decode_vec(key.trim()).map_err(|_| SasKeyError::Base64)?;
    if key.is_empty() {
        return Err(SasKeyError::Empty);
    }
    let resource = encoded(resource);
    let code = hmac::sha256(&key, format!("{resource}\n{expiry_unix_s}").as_bytes());
    let code = encoded(&Base64::encode_string(&code));
    let mut token = format!("SharedAccessSignature sr={resource}&sig={code}&se={expiry_unix_s}");
    if let Some(policy) = policy {
        // Writing to a String cannot fail.
        let _ = write!(token, "&skn={}", encoded(policy));
    }
    Ok(token)
}

/// Everything but what never means anything in a URL (RFC 3986, section 2.3) as `%XX`.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

impl fmt::Display for SasKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base64 => "is not base64; copy the key as the cloud shows it, with its \"=\"",
            Self::Empty => "is empty",
        })
    }
}

impl Error for SasKeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hmac and urllib.
    #[test]
    fn tokens_are_what_others_compute() {
        for (resource, key, policy, expiry, expected) in [
            (
                "hub.azure-devices.net/devices/site-7",
                "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                None,
                1_700_000_000_u64,
                "SharedAccessSignature sr=hub.azure-devices.net%2Fdevices%2Fsite-7\
                 &sig=SZr3EphNLQAixHpBoRQtYFHrX9sFwCjp4cvYKDefMcE%3D&se=1700000000",
            ),
            (
                "plant.servicebus.windows.net/a~b/ü",
                "YSBrZXkgb2YgYW5vdGhlciBsZW5ndGgsIDM3IGJ5dGVzLi4uLg==",
                Some("send+only"),
                4_102_444_800_u64,
                "SharedAccessSignature sr=plant.servicebus.windows.net%2Fa~b%2F%C3%BC\
                 &sig=3Mpp6OEZyacyF3EfGAU1yEe8CIRzrEgRMhT%2BBQlhBRE%3D&se=4102444800&skn=send%2Bonly",
            ),
        ] {
            assert_eq!(token(resource, key, policy, expiry).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_key_is_base64_and_not_empty() {
        assert_eq!(token("a", "no key!", None, 1), Err(SasKeyError::Base64));
        assert_eq!(token("a", " \n", None, 1), Err(SasKeyError::Empty));
        assert!(token("a", "AAECAw==\n", None, 1).is_ok());
    }
}
