//! What a component is, for somebody who considers it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::error::LoadError;
use crate::host::Host;
use crate::inspect::{self, Hooks, Need};
use crate::spec::Capability;

/// What can be said of a component without running it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Bytes of the component.
    pub bytes: usize,
    /// Bytes of the code that it was compiled to.
    pub code_bytes: usize,
    /// Time that compiling took.
    pub compiled_in: Duration,
    /// What it exports, with versions.
    pub exports: Vec<String>,
    /// What it imports, with versions, and what it takes to have that.
    pub imports: Vec<(String, Need)>,
}

impl Host {
    /// Compiles a component and reads what it wants and offers. Nothing of it runs. `name` is what an error
    /// calls it.
    ///
    /// # Errors
    /// It is no component, too large, or not valid.
    pub fn examine(&self, name: &str, component: &[u8]) -> Result<Facts, LoadError> {
        let begun = Instant::now();
        let compiled = self.compile(name, component)?;
        let compiled_in = begun.elapsed();
        Ok(Facts {
            sha256: Sha256::digest(component).into(),
            bytes: component.len(),
            code_bytes: code_bytes(&compiled),
            compiled_in,
            exports: inspect::exports(&compiled),
            imports: inspect::needs(&compiled),
        })
    }
}

fn code_bytes(component: &Component) -> usize {
    let image = component.image_range();
    image.end.addr().saturating_sub(image.start.addr())
}

impl Facts {
    /// Names of the hooks of the contract among the exports, in the order of the contract: that of the exports is up to
    /// the linker.
    pub fn hooks(&self) -> impl Iterator<Item = &str> {
        let exports = self.exports.iter();
        let mut hooks: Vec<_> = exports.filter_map(|export| inspect::hook_of(export)).collect();
        hooks.sort_by_key(|name| Hooks::place(name));
        hooks.into_iter()
    }

    /// Names of the capabilities among the imports of the contract.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().filter_map(|(import, _)| inspect::asked_by(import))
    }

    /// All that an operator has to grant for every import to do what it is for, each once: what is asked for, and what is
    /// behind imports of WASI. Whether it uses the latter nobody can tell, since toolchains import them whether they are used or not.
    pub fn grants(&self) -> BTreeSet<&str> {
        let mut grants: BTreeSet<&str> = self.asked().collect();
        for (import, _) in self.imports.iter().filter(|(_, need)| *need == Need::Wasi) {
            if let Some(behind) = Capability::behind_wasi(import) {
                grants.insert(behind.name());
            }
        }
        grants
    }
}
