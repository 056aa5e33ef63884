//! From a component to its code: kept from earlier, brought from elsewhere, or compiled.

#[cfg(feature = "compiler")]
mod compiling;

use std::time::{Duration, Instant};

use wasmtime::component::Component;

use crate::artefact::{self, Label, Refusal};
use crate::error::LoadError;
use crate::host::{Host, MAX_COMPONENT_BYTES};
use crate::inspect;
use crate::kind::EngineKind;
use crate::workshop::Workshop;

impl Host {
    /// The code of a component. `name` is what errors and the log call it.
    pub(crate) fn compile(&self, name: &str, bytes: &[u8]) -> Result<Component, LoadError> {
        if let Some(found) = inspect::not_a_component(bytes) {
            return Err(LoadError::NotAComponent { extension: name.into(), found });
        }
        if bytes.len() > MAX_COMPONENT_BYTES {
            return Err(LoadError::TooBig {
                extension: name.into(),
                what: "bytes of component",
                wanted: bytes.len(),
                limit: MAX_COMPONENT_BYTES,
            });
        }
        let (begun, label) = (Instant::now(), Label::of(bytes, &EngineKind::here(&self.settings)));
        let Some(workshop) = self.workshop.as_deref() else {
            return self.compiled(None, name, bytes, &label).map(|(component, _)| component);
        };
        if let Some(component) = self.kept(workshop, name, &label) {
            told(name, "kept", begun.elapsed());
            return Ok(component);
        }
        if let Some(component) = self.brought(workshop, name, &label) {
            told(name, "brought", begun.elapsed());
            return Ok(component);
        }
        let (component, whence) = self.compiled(Some(workshop), name, bytes, &label)?;
        told(name, whence, begun.elapsed());
        Ok(component)
    }

    /// There is nothing that could compile it.
    #[cfg(not(feature = "compiler"))]
    fn compiled(
        &self,
        workshop: Option<&dyn Workshop>,
        name: &str,
        _: &[u8],
        label: &Label,
    ) -> Result<(Component, &'static str), LoadError> {
        let (kind, file) = (EngineKind::here(&self.settings), label.file_name());
        let is_trusting = workshop.is_some_and(|it| !it.code_keys().is_empty());
        Err(LoadError::NoCode { extension: name.into(), kind, file, is_trusting })
    }

    /// What was compiled by an earlier start, unless it is missing or not to be trusted.
    fn kept(&self, workshop: &dyn Workshop, name: &str, label: &Label) -> Option<Component> {
        let key = workshop.key()?;
        let open = |sealed: Vec<u8>| artefact::open(&self.engine, key, label, &sealed);
        taken(name, "kept", workshop.fetch(&label.file_name()), open)
    }

    /// What was compiled elsewhere by somebody whom the operator trusts.
    fn brought(&self, workshop: &dyn Workshop, name: &str, label: &Label) -> Option<Component> {
        let keys = Some(workshop.code_keys()).filter(|keys| !keys.is_empty())?;
        let open = |signed: Vec<u8>| artefact::open_signed(&self.engine, keys, label, &signed);
        taken(name, "brought", workshop.brought(&label.file_name()), open)
    }
}

/// The code in what was found; none, and a line in the log, where it is not to be used.
fn taken(
    extension: &str,
    code: &'static str,
    found: Result<Option<Vec<u8>>, String>,
    open: impl FnOnce(Vec<u8>) -> Result<Component, Refusal>,
) -> Option<Component> {
    let why = match found {
        Err(why) => why,
        Ok(bytes) => match open(bytes?) {
            Ok(component) => return Some(component),
            Err(refusal) => refusal.to_string(),
        },
    };
    tracing::warn!(extension, code, why, "compiled code refused; the component is compiled again");
    None
}

fn told(extension: &str, code: &'static str, took: Duration) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(extension, code, took_ms, "extension has its code");
}
