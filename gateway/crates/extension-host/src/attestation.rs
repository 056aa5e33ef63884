//! What somebody vouches for, held against what a component is.

use std::collections::BTreeSet;

use wasmtime::component::Component;

use crate::error::LoadError;
use crate::inspect::{self, Hooks};
use crate::spec::Capability;

/// What somebody whom the operator trusts says of a component. Whoever makes this has verified that they say it of
/// these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Who says it, in the operator's words.
    pub by: String,
    /// Names of the hooks that the component has, as [`Hooks::names`] gives them.
    pub hooks: BTreeSet<String>,
    /// Names of the capabilities that it asks for.
    pub grants: BTreeSet<String>,
}

impl Attestation {
    /// Whether the component has exactly these hooks, and wants nothing of the gateway that it does not say here.
    pub(crate) fn check(
        &self,
        extension: &str,
        component: &Component,
        hooks: Hooks,
    ) -> Result<(), LoadError> {
        let lie = |why| {
            let (extension, by) = (extension.to_owned(), self.by.clone());
            Err(LoadError::Attestation { extension, by, why })
        };
        if let Some(asked) = inspect::asked(component).find(|name| !self.grants.contains(name)) {
            let interface = Capability::from_name(&asked).map(Capability::interface);
            let interface = interface.unwrap_or_else(|| format!("portcullis:host/{asked}"));
            return lie(format!("it imports {interface}, which the signature does not name"));
        }
        if let Some(hook) = hooks.names().find(|name| !self.hooks.contains(*name)) {
            return lie(format!(
                "it exports portcullis:gateway/{hook}, which the signature does not name"
            ));
        }
        match self.hooks.iter().find(|said| hooks.names().all(|name| name != said.as_str())) {
            Some(said) => lie(format!("it does not export portcullis:gateway/{said}")),
            None => Ok(()),
        }
    }
}
