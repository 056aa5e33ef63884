//! One key of a JWKS (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2).

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::key::{Key, Kind};
use super::skipped::SkipReason;

type Members = Map<String, Value>;

/// Reads a key, or says why it cannot be used. Members that are not known are not read, nor is what
/// tells of certificates (RFC 7517, section 4).
pub(super) fn read(jwk: &Value) -> Result<Key, SkipReason> {
    let members = jwk.as_object().ok_or(SkipReason::NotAnObject)?;
    meant_for_verifying(members)?;
    let mut key = material(members)?;
    key.kid = optional(members, "kid")?.map(str::to_owned);
    if let Some(name) = optional(members, "alg")? {
        let algorithm =
            Algorithm::from_name(name).ok_or_else(|| SkipReason::Algorithm(name.to_owned()))?;
        if !key.kind.fits(algorithm) {
            return Err(SkipReason::Contradiction(name.to_owned()));
        }
        key.algorithm = Some(algorithm);
    }
    Ok(key)
}

/// Whether the key is a secret, `None` if its type is not known.
pub(super) fn is_secret(jwk: &Value) -> Option<bool> {
    match jwk.get("kty")?.as_str()? {
        "oct" => Some(true),
        "RSA" | "EC" | "OKP" => Some(false),
        _ => None,
    }
}

fn meant_for_verifying(members: &Members) -> Result<(), SkipReason> {
    match optional(members, "use")? {
        None | Some("sig") => {}
        Some(other) => return Err(SkipReason::Use(other.to_owned())),
    }
    match members.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|name| name == "verify") => Ok(()),
        Some(_) => Err(SkipReason::Operations),
    }
}

fn material(members: &Members) -> Result<Key, SkipReason> {
    let kty = required(members, "kty")?;
    if kty == "oct" {
        return Key::secret(&bytes(members, "k")?);
    }
    if !matches!(kty, "RSA" | "EC" | "OKP") {
        return Err(SkipReason::Type(kty.to_owned()));
    }
    if members.contains_key("d") {
        return Err(SkipReason::Private);
    }
    if kty == "RSA" {
        return Key::rsa(&bytes(members, "n")?, &bytes(members, "e")?);
    }
    match (kty, required(members, "crv")?) {
        ("EC", "P-256") => Key::point(Kind::P256, &bytes(members, "x")?, &bytes(members, "y")?),
        ("EC", "P-384") => Key::point(Kind::P384, &bytes(members, "x")?, &bytes(members, "y")?),
        ("OKP", "Ed25519") => Key::ed25519(&bytes(members, "x")?),
        (_, curve) => Err(SkipReason::Curve(curve.to_owned())),
    }
}

fn optional<'a>(members: &'a Members, name: &'static str) -> Result<Option<&'a str>, SkipReason> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(SkipReason::Member { name, rule: "is not a string" }),
    }
}

fn required<'a>(members: &'a Members, name: &'static str) -> Result<&'a str, SkipReason> {
    optional(members, name)?.ok_or(SkipReason::Member { name, rule: "is missing" })
}

fn bytes(members: &Members, name: &'static str) -> Result<Vec<u8>, SkipReason> {
    Base64UrlUnpadded::decode_vec(required(members, name)?)
        .map_err(|_| SkipReason::Member { name, rule: "is not base64url without padding" })
}
