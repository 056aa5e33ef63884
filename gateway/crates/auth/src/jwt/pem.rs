//! One public key in PEM (RFC 7468).

use std::error::Error;
use std::fmt;

use base64ct::{Base64, Encoding};

use super::der;
use super::key::{Key, Kind};
use super::shown::shown;
use super::skipped::SkipReason;

/// `AlgorithmIdentifier`s of SubjectPublicKeyInfo, without their tag and length: RFC 3279, section
/// 2.3.1; RFC 5480, section 2.1.1; RFC 8410, section 3. Each is written in one way only, so that
/// comparing reads them.
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
const P256: &[u8] =
    &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x22];
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];

/// Why a PEM is not a key that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PemError {
    /// There is not exactly one block of well-formed PEM.
    Malformed,
    /// The block is something else than a public key: its label.
    Label(String),
    /// The block does not hold what its label says.
    Content,
    /// It is a public key of an algorithm or curve that is not known.
    Unknown,
    /// It is a public key that must not be used.
    Unusable(SkipReason),
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str(
                "it is not one block from \"-----BEGIN PUBLIC KEY-----\" to \
                 \"-----END PUBLIC KEY-----\" with base64 between them",
            ),
            Self::Label(label) => write!(
                f,
                "it is a {}, not a PUBLIC KEY; `openssl pkey -in KEY -pubout` or `openssl x509 \
                 -in CERTIFICATE -pubkey -noout` writes one",
                shown(label)
            ),
            Self::Content => f.write_str("it is damaged: its content is not the key that it names"),
            Self::Unknown => {
                f.write_str("it is not a key of RSA, of the curve P-256 or P-384, or of Ed25519")
            }
            Self::Unusable(reason) => write!(f, "the key {reason}"),
        }
    }
}

impl Error for PemError {}

/// Reads the one public key of a PEM: `PUBLIC KEY` (RFC 5280, section 4.1.2.7), or `RSA PUBLIC
/// KEY` (RFC 8017, appendix A.1.1).
pub(super) fn read(pem: &str) -> Result<Key, PemError> {
    let (label, content) = block(pem)?;
    match label {
        "PUBLIC KEY" => public_key_info(&content),
        "RSA PUBLIC KEY" => rsa(&content),
        _ => Err(PemError::Label(label.to_owned())),
    }
}

/// Label and content of the only block.
fn block(pem: &str) -> Result<(&str, Vec<u8>), PemError> {
    let mut lines = pem.lines().map(str::trim).skip_while(|line| line.is_empty());
    let begin = lines.next().ok_or(PemError::Malformed)?;
    let label = begin.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
    let label = label.ok_or(PemError::Malformed)?;
    let mut text = String::new();
    let end = loop {
        match lines.next() {
            None => return Err(PemError::Malformed),
            Some(line) if line.starts_with('-') => break line,
            Some(line) => text.push_str(line),
        }
    };
    let end = end.strip_prefix("-----END ").and_then(|rest| rest.strip_suffix("-----"));
    if end != Some(label) || lines.any(|line| !line.is_empty()) {
        return Err(PemError::Malformed);
    }
    // A private key or a certificate is told what it is before it is read.
    let content = Base64::decode_vec(&text).map_err(|_| PemError::Malformed)?;
    Ok((label, content))
}

fn public_key_info(content: &[u8]) -> Result<Key, PemError> {
    let mut input = der::only(content, der::SEQUENCE).ok_or(PemError::Content)?;
    let algorithm = der::take(&mut input, der::SEQUENCE).ok_or(PemError::Content)?;
    // A whole number of bytes, after the count of bits that are left over.
    let Some([0, key @ ..]) = der::only(input, der::BIT_STRING) else {
        return Err(PemError::Content);
    };
    match algorithm {
        RSA => rsa(key),
        P256 => point(Kind::P256, key),
        P384 => point(Kind::P384, key),
        ED25519 => Key::ed25519(key).map_err(|_| PemError::Content),
        _ => Err(PemError::Unknown),
    }
}

fn rsa(content: &[u8]) -> Result<Key, PemError> {
    let mut input = der::only(content, der::SEQUENCE).ok_or(PemError::Content)?;
    let n = der::take_positive(&mut input).ok_or(PemError::Content)?;
    let e = der::take_positive(&mut input).ok_or(PemError::Content)?;
    if !input.is_empty() {
        return Err(PemError::Content);
    }
    Key::rsa(n, e).map_err(PemError::Unusable)
}

fn point(curve: Kind, point: &[u8]) -> Result<Key, PemError> {
    let Some((4, coordinates)) = point.split_first().map(|(form, rest)| (*form, rest)) else {
        return Err(PemError::Content);
    };
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    Key::point(curve, x, y).map_err(|_| PemError::Content)
}
