use auth::signature::{Manifest, Signature, SignatureError};
use config::{Extension, Trust, TrustedKey};
use extension_host::Attestation;

use crate::failure::Failure;
use crate::package::Package;

/// Who made a signature.
pub(crate) enum Signer<'a> {
    /// The owner of this key, of this component as what the manifest says.
    Believed(&'a TrustedKey, &'a Manifest),
    /// It says that it was made with this key, and is wrong.
    Wrong(&'a TrustedKey, SignatureError),
    /// The owner of none of the keys.
    Unknown,
}

/// Finds who of the owners of `keys` signed `component`.
pub(crate) fn signer<'a>(
    signature: &'a Signature,
    keys: &[&'a TrustedKey],
    component: &[u8],
) -> Signer<'a> {
    let Some(key) = keys.iter().find(|key| key.key.id() == signature.key()) else {
        return Signer::Unknown;
    };
    match signature.verify(&key.key, component) {
        Ok(manifest) => Signer::Believed(key, manifest),
        Err(error) => Signer::Wrong(key, error),
    }
}

/// What somebody whom the operator trusts says of a package: nothing where nobody has to and nobody does. A signature
/// that is there must be right wherever the operator has named keys, whether or not one is required: one that is wrong
/// is a sign that something was exchanged.
pub(crate) fn attestation(
    trust: &Trust,
    stated: &Extension,
    package: &Package,
) -> Result<Option<Attestation>, Failure> {
    if trust.keys.is_empty() {
        return Ok(None);
    }
    let refuse = |why: String| {
        let name = &stated.name;
        Failure::Extension(format!("extension \"{name}\": {} {why}", package.place))
    };
    let keys = believed(trust, stated);
    let Some(text) = &package.signature else {
        return match stated.signature.required {
            false => Ok(None),
            true => Err(refuse(format!(
                "does not exist, and require-signature asks for a signature by {}; have the component signed \
                 with `portcullis extension sign`",
                names(&keys)
            ))),
        };
    };
    let signature = Signature::parse(text).map_err(|error| refuse(error.to_string()))?;
    let (key, manifest) = match signer(&signature, &keys, &package.component) {
        Signer::Believed(key, manifest) => (key, manifest),
        Signer::Wrong(key, error) => return Err(refuse(format!("(key \"{}\") {error}", key.name))),
        Signer::Unknown => return Err(refuse(stranger(trust, &signature, &keys))),
    };
    let name = &stated.signature.name;
    if manifest.name != *name {
        let (by, signed) = (&key.name, &manifest.name);
        return Err(refuse(format!(
            "was made by \"{by}\" for an extension \"{signed}\", not for \"{name}\"; put the right component \
             there, or say signed-as = \"{signed}\" if this is the one"
        )));
    }
    let (hooks, grants) = (manifest.hooks.clone(), manifest.grants.clone());
    Ok(Some(Attestation { by: key.name.clone(), hooks, grants }))
}

/// The keys that count for an extension.
fn believed<'a>(trust: &'a Trust, stated: &Extension) -> Vec<&'a TrustedKey> {
    let by = &stated.signature.by;
    trust.keys.iter().filter(|key| by.is_empty() || by.contains(&key.name)).collect()
}

/// Why a signature with a key that does not count is refused.
fn stranger(trust: &Trust, signature: &Signature, keys: &[&TrustedKey]) -> String {
    let id = signature.key();
    let wanted = names(keys);
    match trust.keys.iter().find(|key| key.key.id() == id) {
        Some(TrustedKey { name, .. }) => format!(
            "was made with the key \"{name}\" ({id}), and signed-by asks for {wanted}; add \"{name}\" there if \
             it is to count"
        ),
        None => format!(
            "was made with the key {id}, which [trust.keys] does not have; have the component signed with \
             {wanted}, or add the key if its owner is trusted"
        ),
    }
}

fn names(keys: &[&TrustedKey]) -> String {
    let name = |key: &&TrustedKey| format!("\"{}\" ({})", key.name, key.key.id());
    keys.iter().map(name).collect::<Vec<_>>().join(" or ")
}
