//! From the core module that a compiler makes to a component.

use std::fs;
use std::path::Path;

use wit_component::ComponentEncoder;

use crate::failure::Failure;

/// Makes the core module a component. It holds the contract in a section that its bindings wrote.
pub(super) fn to_component(module: &Path, component: &Path) -> Result<(), Failure> {
    let bytes = fs::read(module).map_err(Failure::file("read", module))?;
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| {
            Failure::Component(format!("{} does not make a component: {error:#}", module.display()))
        })?;
    fs::write(component, bytes).map_err(Failure::file("write", component))
}
