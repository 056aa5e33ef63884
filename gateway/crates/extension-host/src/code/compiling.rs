use wasmtime::component::Component;

use crate::artefact::{self, Label, SealKey};
use crate::error::LoadError;
use crate::host::Host;
use crate::instance::chain;
use crate::job;
use crate::workshop::{Ran, Workshop};

impl Host {
    /// Has a component compiled, keeps the code, and says where it was done.
    pub(super) fn compiled(
        &self,
        workshop: Option<&dyn Workshop>,
        name: &str,
        bytes: &[u8],
        label: &Label,
    ) -> Result<(Component, &'static str), LoadError> {
        let Some(workshop) = workshop else {
            return Ok((self.compile_here(name, bytes)?, "compiled here"));
        };
        let compiled = match self.compile_elsewhere(workshop, name, bytes, label)? {
            Some(component) => (component, "compiled in a process of its own"),
            None => (self.compile_here(name, bytes)?, "compiled here"),
        };
        keep(workshop, name, label, &compiled.0);
        Ok(compiled)
    }

    fn compile_here(&self, name: &str, bytes: &[u8]) -> Result<Component, LoadError> {
        Component::from_binary(&self.engine, bytes)
            .map_err(|error| LoadError::Compile { extension: name.into(), why: chain(&error) })
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
