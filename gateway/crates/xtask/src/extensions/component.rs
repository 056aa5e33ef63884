//! From the core module that rustc makes to a component.

use std::fs;
use std::path::Path;

use wit_component::{ComponentEncoder, DecodedWasm};

use crate::failure::Failure;

/// Whose imports a shipped component may have.
const CAPABILITIES: &str = "portcullis:host/";
/// Types only: nothing that could be called.
const TYPES: &str = "portcullis:gateway/types";

/// A component and what it needs.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) bytes: Vec<u8>,
    /// The capabilities that it asks for, by their names in `grants`.
    pub(crate) capabilities: Vec<String>,
}

/// Makes the core module at `path` a component; it holds the contract in a section that its
/// bindings wrote.
pub(crate) fn from_module(path: &Path) -> Result<Component, Failure> {
    let module = fs::read(path).map_err(Failure::file("read", path))?;
    let failed = |why: String| Failure::Other(format!("{} is no extension: {why}", path.display()));
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| failed(format!("{error:#}")))?;
    let capabilities = capabilities(&bytes).map_err(failed)?;
    if let Some(foreign) = capabilities.iter().find(|name| name.contains(['/', ':'])) {
        return Err(Failure::Other(format!(
            "{} imports {foreign}; a shipped extension imports only {CAPABILITIES}*",
            path.display()
        )));
    }
    Ok(Component { bytes, capabilities })
}

fn capabilities(bytes: &[u8]) -> Result<Vec<String>, String> {
    let decoded = wit_component::decode(bytes).map_err(|error| format!("{error:#}"))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err("it decodes as an interface".to_owned());
    };
    let imports = resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key));
    Ok(imports
        .filter(|name| !name.starts_with(TYPES))
        .map(|name| match name.strip_prefix(CAPABILITIES).and_then(|rest| rest.split_once('@')) {
            Some((capability, _version)) => capability.to_owned(),
            None => name,
        })
        .collect())
}
