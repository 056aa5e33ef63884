//! Everything that compiled code depends on besides its component.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::host::EngineSettings;
use crate::space::AddressSpace;
use crate::target::Target;

/// The version of wasmtime, whose code no other version is to run.
pub(crate) const WASMTIME: &str = "48.0.8";

/// The engine that code is for. Displays as what the fingerprint is made of, all of it.
///
/// The extensions of a processor's instructions are not in it: the engine itself refuses code that needs what the machine
/// has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineKind {
    /// What runs the code.
    pub target: Target,
    /// How memories are laid out.
    pub space: AddressSpace,
    /// Bytes of memory that any instance may have.
    pub max_memory_bytes: usize,
}

impl EngineKind {
    /// That of an engine of this program with these settings.
    #[must_use]
    pub fn here(settings: &EngineSettings) -> Self {
        let EngineSettings { space, max_memory_bytes, .. } = *settings;
        Self { target: Target::here(), space, max_memory_bytes }
    }

    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.to_string()).into()
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, space, max_memory_bytes } = self;
        let version = env!("CARGO_PKG_VERSION");
        write!(
            f,
            "portcullis {version}, wasmtime {WASMTIME}, {target}, {space}, {max_memory_bytes}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_in_use() {
        let manifest = include_str!("../../../../Cargo.toml");
        assert!(manifest.contains(&format!("wasmtime = {{ version = \"={WASMTIME}\"")));
    }

    #[test]
    fn each_part_makes_another_engine() {
        let here = EngineKind::here(&EngineSettings::default());
        let target = Target::of_triple("pulley32").unwrap();
        let others = [
            EngineKind { target, ..here },
            EngineKind { space: AddressSpace::Tight, ..here },
            EngineKind { max_memory_bytes: 1 << 20, ..here },
        ];
        assert!(others.iter().all(|other| other.fingerprint() != here.fingerprint()));
        assert_eq!(here.fingerprint(), EngineKind::here(&EngineSettings::default()).fingerprint());
    }
}
