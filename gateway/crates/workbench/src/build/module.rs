//! From the core module that a compiler makes to a component.

use std::fs;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use crate::failure::Failure;

/// Makes the core module a component. It holds the contract in a section that its bindings wrote.
pub(super) fn to_component(module: &Path, component: &Path) -> Result<(), Failure> {
    let bytes = fs::read(module).map_err(Failure::file("read", module))?;
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .map_err(no_component(module))?;
    fs::write(component, bytes).map_err(Failure::file("write", component))
}

/// A module that takes the place of WASI's first preview, which the gateway does not have.
pub(super) struct Adapter {
    pub(super) module: &'static [u8],
    /// What it imports: a text with the world.
    pub(super) wit: &'static str,
    pub(super) world: &'static str,
}

/// As modules call WASI's first preview.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Makes a core module that imports WASI's first preview a component. Its other imports and its exports have the names of a
/// world, which is in a folder.
pub(super) fn of_preview1(
    module: &Path,
    (wit, world): (&Path, &str),
    adapter: &Adapter,
    component: &Path,
) -> Result<(), Failure> {
    let bytes = fs::read(module).map_err(Failure::file("read", module))?;
    let mut resolve = Resolve::default();
    let id = resolve
        .push_path(wit)
        .and_then(|(package, _)| resolve.select_world(&[package], Some(world)))
        .map_err(no_component(wit))?;
    let bytes = described(bytes, &resolve, id, module)?;
    let mut resolve = Resolve::default();
    let id = resolve
        .push_str("adapter.wit", adapter.wit)
        .and_then(|package| resolve.select_world(&[package], Some(adapter.world)))
        .map_err(no_component(module))?;
    let its = described(adapter.module.to_vec(), &resolve, id, module)?;
    let encoder = ComponentEncoder::default();
    let bytes = encoder
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.adapter(PREVIEW1, &its))
        .and_then(|mut encoder| encoder.encode())
        .map_err(no_component(module))?;
    fs::write(component, bytes).map_err(Failure::file("write", component))
}

/// The module with the section that says what its names mean; `path` is what an error speaks of.
fn described(
    mut module: Vec<u8>,
    resolve: &Resolve,
    world: WorldId,
    path: &Path,
) -> Result<Vec<u8>, Failure> {
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8)
        .map_err(no_component(path))?;
    Ok(module)
}

fn no_component<E: std::fmt::Debug>(path: &Path) -> impl FnOnce(E) -> Failure {
    let path = path.display().to_string();
    move |error| Failure::Component(format!("{path} does not make a component: {error:?}"))
}
