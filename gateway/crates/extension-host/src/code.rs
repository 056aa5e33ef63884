//! From a component to its code: kept from earlier, compiled elsewhere, or compiled here.

use std::time::{Duration, Instant};

use wasmtime::component::Component;

use crate::artefact::{self, Label, SealKey};
use crate::error::LoadError;
use crate::host::{Host, MAX_COMPONENT_BYTES};
use crate::instance::chain;
use crate::workshop::{Ran, Workshop};
use crate::{inspect, job};

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
        let Some(workshop) = self.workshop.as_deref() else {
            return self.compile_here(name, bytes);
        };
        let (begun, label) = (Instant::now(), Label::of(bytes, &self.engine));
        if let Some(component) = self.kept(workshop, name, &label) {
            told(name, "kept", begun.elapsed());
            return Ok(component);
        }
        let (component, whence) = match self.compile_elsewhere(workshop, name, bytes, &label)? {
            Some(component) => (component, "compiled in a process of its own"),
            None => (self.compile_here(name, bytes)?, "compiled here"),
        };
        told(name, whence, begun.elapsed());
        keep(workshop, name, &label, &component);
        Ok(component)
    }

    fn compile_here(&self, name: &str, bytes: &[u8]) -> Result<Component, LoadError> {
        Component::from_binary(&self.engine, bytes)
            .map_err(|error| LoadError::Compile { extension: name.into(), why: chain(&error) })
    }

    /// What was compiled by an earlier start, unless it is missing or not to be trusted.
    fn kept(&self, workshop: &dyn Workshop, name: &str, label: &Label) -> Option<Component> {
        let key = workshop.key()?;
        let why = match workshop.fetch(&label.file_name()) {
            Err(why) => why,
            Ok(sealed) => match artefact::open(&self.engine, key, label, &sealed?) {
                Ok(component) => return Some(component),
                Err(refusal) => refusal.to_string(),
            },
        };
        tracing::warn!(
            extension = name,
            why,
            "compiled code refused; the component is compiled again"
        );
        None
    }

    /// None where there is no process for it.
    fn compile_elsewhere(
        &self,
        workshop: &dyn Workshop,
        name: &str,
        bytes: &[u8],
        label: &Label,
    ) -> Result<Option<Component>, LoadError> {
        let mut key = [0; SealKey::BYTES];
        let why = match getrandom::getrandom(&mut key) {
            Err(error) => error.to_string(),
            Ok(()) => {
                let key = SealKey::new(key);
                match workshop.run(job::describe(&key, &self.settings, bytes)) {
                    Ran::Refused(why) => {
                        return Err(LoadError::Compile { extension: name.into(), why });
                    }
                    Ran::Not(None) => return Ok(None),
                    Ran::Not(Some(why)) => why,
                    Ran::Done(sealed) => match artefact::open(&self.engine, &key, label, &sealed) {
                        Ok(component) => return Ok(Some(component)),
                        Err(refusal) => refusal.to_string(),
                    },
                }
            }
        };
        tracing::warn!(
            extension = name,
            why,
            "component could not be compiled in a process of its own; it is compiled in the gateway's"
        );
        Ok(None)
    }
}

fn told(extension: &str, code: &'static str, took: Duration) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(extension, code, took_ms, "extension has its code");
}

/// A start without a kept code is slower, and nothing else.
fn keep(workshop: &dyn Workshop, name: &str, label: &Label, component: &Component) {
    let Some(key) = workshop.key() else { return };
    let kept = match component.serialize() {
        Ok(code) => workshop.keep(&label.file_name(), &artefact::seal(key, label, &code)),
        Err(error) => Err(chain(&error)),
    };
    if let Err(why) = kept {
        tracing::warn!(
            extension = name,
            why,
            "compiled code not kept; the next start compiles again"
        );
    }
}
