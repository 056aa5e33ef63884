//! Compiled code under a seal, and the one place where sealed bytes become code.
//!
//! The engine takes compiled code as it is given: whoever chooses the bytes runs what they like with the gateway's
//! rights. So what reaches it from outside of this process has to pass [`open`], which holds to this:
//!
//! 1. The bytes that are judged are the bytes that become code: one slice in memory, never a file that may change.
//! 2. A code under a key (HMAC with SHA-256) over all of them says that [`seal`] was given them. Only this crate calls
//!    it, with what the compiler has just written: here, or in a process of the same program under a key that was
//!    drawn for that process alone. The key of what is kept never leaves the gateway.
//! 3. What is sealed begins with the component and the engine that the code is for, so that none takes the place of
//!    another, and a change of engine, settings, processor or version makes it a stranger.
//!
//! Who holds the key can forge: it lies in a file of the gateway's user, who can replace the program as well.

use std::hash::{Hash, Hasher};

use auth::hmac;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::instance::chain;

/// What sealed code begins with, behind the code that authenticates it.
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
    pub(crate) fn of(component: &[u8], engine: &Engine) -> Self {
        Self { component: Sha256::digest(component).into(), engine: fingerprint(engine) }
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

/// Everything that code depends on: the engine's version and settings, the processor, and this crate.
fn fingerprint(engine: &Engine) -> [u8; 32] {
    let mut digest = Sink(Sha256::new());
    env!("CARGO_PKG_VERSION").hash(&mut digest);
    engine.precompile_compatibility_hash().hash(&mut digest);
    digest.0.finalize().into()
}

/// Hashing values with a hash that nobody can aim.
struct Sink(Sha256);

impl Hasher for Sink {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// Why sealed bytes did not become code, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// They are not what was sealed under the key.
    Seal,
    /// They are the code of another component, or for another engine.
    Label,
    /// The engine does not want them: its words.
    Engine(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seal => f.write_str("it is not what this gateway wrote, or it is damaged"),
            Self::Label => f.write_str("it belongs to another component or another engine"),
            Self::Engine(why) => write!(f, "the engine refuses it: {why}"),
        }
    }
}

/// Seals what the compiler has written for `label`.
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
    // comes from `unseal`: it was under a code that only the holder of the key can make, and the crate makes one for
    // the output of those two functions only. It is borrowed here and so cannot change before the engine has copied
    // it. That it is for this very engine is not needed for safety, as wasmtime checks it; the label says so as well.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use wasmtime::Config;

    use super::*;

    const COMPONENT: &str =
        "(component (core module (func (export \"f\") (result i32) i32.const 7)))";

    struct Case {
        engine: Engine,
        key: SealKey,
        label: Label,
        sealed: Vec<u8>,
    }

    fn case(engine: Engine) -> Case {
        let bytes = wat::parse_str(COMPONENT).unwrap();
        let label = Label::of(&bytes, &engine);
        let code = engine.precompile_component(&bytes).unwrap();
        let key = SealKey::new([7; 32]);
        let sealed = seal(&key, &label, &code);
        Case { engine, key, label, sealed }
    }

    impl Case {
        fn open(&self, sealed: &[u8]) -> Result<(), Refusal> {
            open(&self.engine, &self.key, &self.label, sealed).map(|_| ())
        }
    }

    #[test]
    fn what_was_sealed_becomes_code() {
        let case = case(Engine::default());
        assert_eq!(case.open(&case.sealed), Ok(()));
    }

    /// The engine would take most of these: it looks at the head of the code only.
    #[test]
    fn no_bit_may_differ() {
        let case = case(Engine::default());
        let len = case.sealed.len();
        let step = (len / 4096).max(1);
        let mut tried = 0;
        for at in (0..256.min(len)).chain((256..len).step_by(step)) {
            for bit in [0, 3, 7] {
                let mut changed = case.sealed.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(case.open(&changed), Err(Refusal::Seal), "byte {at}, bit {bit}");
                tried += 1;
            }
        }
        assert!(tried > 3_000, "{tried} of {len} bytes");
    }

    #[test]
    fn what_is_cut_or_longer_is_refused() {
        let case = case(Engine::default());
        let len = case.sealed.len();
        for end in (0..len).step_by((len / 500).max(1)).chain([31, 32, 33, len - 1]) {
            assert_eq!(case.open(&case.sealed[..end]), Err(Refusal::Seal), "{end} bytes");
        }
        let longer = [&case.sealed[..], &[0]].concat();
        assert_eq!(case.open(&longer), Err(Refusal::Seal));
    }

    #[test]
    fn another_key_is_another_gateway() {
        let case = case(Engine::default());
        let other = SealKey::new([8; 32]);
        let refused = open(&case.engine, &other, &case.label, &case.sealed).map(|_| ());
        assert_eq!(refused, Err(Refusal::Seal));
    }

    #[test]
    fn code_of_another_component_is_refused() {
        let case = case(Engine::default());
        let other = Label { component: [0; 32], ..case.label };
        let refused = open(&case.engine, &case.key, &other, &case.sealed).map(|_| ());
        assert_eq!(refused, Err(Refusal::Label));
    }

    #[test]
    fn code_for_another_engine_is_refused() {
        let here = case(Engine::default());
        let mut config = Config::new();
        config.memory_reservation(1 << 20);
        let there = case(Engine::new(&config).unwrap());
        assert_ne!(here.label, there.label);
        assert_ne!(here.label.file_name(), there.label.file_name());
        assert_eq!(here.open(&there.sealed), Err(Refusal::Label));
        // And if only the label were right, the engine itself would say no.
        let code = unseal(&there.key, &there.label, &there.sealed).unwrap();
        let relabelled = seal(&here.key, &here.label, code);
        assert!(matches!(here.open(&relabelled), Err(Refusal::Engine(_))));
    }

    #[test]
    fn the_same_engine_has_the_same_fingerprint() {
        assert_eq!(fingerprint(&Engine::default()), fingerprint(&Engine::default()));
    }
}
