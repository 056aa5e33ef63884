//! Compiled code under a seal, and the one place where sealed bytes become code.
//!
//! The engine takes compiled code as it is given: whoever chooses the bytes runs what they like with the gateway's
//! rights. So what reaches it from outside of this process has to pass [`open`], which holds to this:
//!
//! 1. The bytes that are judged are the bytes that become code: one slice in memory, never a file that may change.
//! 2. A code under a key (HMAC with SHA-256) over all of them says that [`seal`] was given them. Only this crate calls
//!    it, with what the compiler has just written: here, or in a process of the same program under a key that was
//!    drawn for that process alone. The key of what is kept never leaves the gateway. Or a signature (Ed25519) over all of
//!    them says the same of [`sign`], by the owner of a key that the operator has named for this ([`open_signed`]).
//! 3. What is sealed or signed begins with the component and the engine that the code is for, so that none takes the place of
//!    another, and a change of engine, settings or version makes it a stranger. What a processor must be able to do is
//!    written in the code, and the engine looks.
//!
//! Who holds a key can forge: that of the seal lies in a file of the gateway's user, who can replace the program as well;
//! that of signatures lies with the operator, who can too.

use auth::hmac;
#[cfg(feature = "compiler")]
use auth::signature::SigningKey;
use auth::signature::{CODE_BYTES, PublicKey};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::instance::chain;
use crate::kind::EngineKind;

/// What sealed or signed code begins with, behind what authenticates it.
const MAGIC: &[u8] = b"portcullis code 1\n";

/// The key of a seal. Anybody who has it can have the gateway run anything.
#[derive(Clone)]
pub struct SealKey([u8; SealKey::BYTES]);

impl SealKey {
    /// Bytes of a key.
    pub const BYTES: usize = 32;

    /// A key of bytes that nobody else knows.
    #[must_use]
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey")
    }
}

/// Of what the code is, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    component: [u8; 32],
    engine: [u8; 32],
}

impl Label {
    /// Of the code of a component for an engine.
    pub(crate) fn of(component: &[u8], engine: &EngineKind) -> Self {
        Self { component: Sha256::digest(component).into(), engine: engine.fingerprint() }
    }

    /// What a file with it is called.
    pub(crate) fn file_name(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let engine = self.engine.first_chunk::<8>().map(|it| hex(it)).unwrap_or_default();
        format!("{}-{engine}", hex(&self.component))
    }

    fn header(&self) -> Vec<u8> {
        [MAGIC, &self.component, &self.engine].concat()
    }
}

/// Why sealed bytes did not become code, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// They are not what was sealed under the key.
    Seal,
    /// They are not what the owner of a key that counts signed.
    Signature,
    /// They are the code of another component, or for another engine.
    Label,
    /// The engine does not want them: its words.
    Engine(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seal => f.write_str("it is not what this gateway wrote, or it is damaged"),
            Self::Signature => f.write_str(
                "no key of compiler.code-keys signed it, or it was changed after that; compile it again with \
                 `portcullis extension compile --key`",
            ),
            Self::Label => f.write_str("it belongs to another component or another engine"),
            Self::Engine(why) => write!(f, "the engine refuses it: {why}"),
        }
    }
}

/// Seals what the compiler has written for `label`.
#[cfg(feature = "compiler")]
pub(crate) fn seal(key: &SealKey, label: &Label, code: &[u8]) -> Vec<u8> {
    let header = label.header();
    let mut sealed = Vec::with_capacity(hmac::SHA256_BYTES + header.len() + code.len());
    sealed.extend([0; hmac::SHA256_BYTES]);
    sealed.extend(header);
    sealed.extend(code);
    if let Some((place, rest)) = sealed.split_first_chunk_mut::<{ hmac::SHA256_BYTES }>() {
        *place = hmac::sha256(key.bytes(), rest);
    }
    sealed
}

/// Makes sealed bytes the code of `label` on `engine`, if they are that.
pub(crate) fn open(
    engine: &Engine,
    key: &SealKey,
    label: &Label,
    sealed: &[u8],
) -> Result<Component, Refusal> {
    let code = unseal(key, label, sealed)?;
    deserialize(engine, code).map_err(|error| Refusal::Engine(chain(&error)))
}

/// Signs what the compiler has written for `label`, for gateways that know the key.
#[cfg(feature = "compiler")]
pub(crate) fn sign(key: &SigningKey, label: &Label, code: &[u8]) -> Vec<u8> {
    let rest = [&label.header(), code].concat();
    [&key.vouch_for_code(&rest)[..], &rest].concat()
}

/// Makes signed bytes the code of `label` on `engine`, if the owner of one of `keys` says that they are that.
pub(crate) fn open_signed(
    engine: &Engine,
    keys: &[PublicKey],
    label: &Label,
    signed: &[u8],
) -> Result<Component, Refusal> {
    let code = verified(keys, label, signed)?;
    deserialize(engine, code).map_err(|error| Refusal::Engine(chain(&error)))
}

/// The code in signed bytes.
fn verified<'a>(keys: &[PublicKey], label: &Label, signed: &'a [u8]) -> Result<&'a [u8], Refusal> {
    let parts = signed.split_first_chunk::<CODE_BYTES>();
    let (signature, rest) = parts.ok_or(Refusal::Signature)?;
    if !keys.iter().any(|key| key.vouches_for_code(rest, signature)) {
        return Err(Refusal::Signature);
    }
    rest.strip_prefix(label.header().as_slice()).ok_or(Refusal::Label)
}

/// The code in sealed bytes.
fn unseal<'a>(key: &SealKey, label: &Label, sealed: &'a [u8]) -> Result<&'a [u8], Refusal> {
    let parts = sealed.split_first_chunk::<{ hmac::SHA256_BYTES }>();
    let (code, rest) = parts.ok_or(Refusal::Seal)?;
    if !hmac::verify_sha256(key.bytes(), rest, code) {
        return Err(Refusal::Seal);
    }
    rest.strip_prefix(label.header().as_slice()).ok_or(Refusal::Label)
}

/// The only unsafe code of the gateway.
#[allow(
    unsafe_code,
    reason = "code that was compiled before has no safe way in; see the invariant above"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the engine asks for what `Component::serialize` or `Engine::precompile_component` wrote, unchanged. `code`
    // comes from `unseal` or `verified`: it was under a code or a signature that only the holder of the key can make, and
    // the crate makes one for the output of those two functions only. It is borrowed here and so cannot change before the
    // engine has copied it. That it is for this very engine is not needed for safety, as wasmtime checks it; the label says so as well.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
#[cfg(feature = "compiler")]
mod tests;
