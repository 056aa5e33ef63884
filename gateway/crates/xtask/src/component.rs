//! From the core module that a compiler makes to a component.

use std::fs;
use std::path::Path;

use wit_component::{
    ComponentEncoder, DecodedWasm, StringEncoding, decode, embed_component_metadata,
};
use wit_parser::Resolve;

use crate::failure::Failure;

/// The capabilities of the gateway.
const CAPABILITIES: &str = "portcullis:host/";
/// The one capability that is elsewhere, because it speaks of permission sets.
const BROKER: &str = "portcullis:gateway/broker";
/// Types only: nothing that could be called.
const TYPES: [&str; 3] =
    ["portcullis:gateway/types", "portcullis:gateway/interception", "portcullis:host/connections"];
/// As modules call WASI's first preview.
const PREVIEW1: &str = "wasi_snapshot_preview1";
/// What the gateway has and leaves empty.
const WASI: &str = "wasi:";

/// A component and what it needs.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) bytes: Vec<u8>,
    /// The capabilities that it asks for, by their names in `grants`.
    pub(crate) capabilities: Vec<String>,
    /// Whether it imports WASI.
    pub(crate) has_wasi: bool,
}

/// Makes the core module at `path` a component; it holds the contract in a section that its
/// bindings wrote.
pub(crate) fn from_module(path: &Path) -> Result<Component, Failure> {
    let module = fs::read(path).map_err(Failure::file("read", path))?;
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(no_extension(path))?;
    let component = inspect(path, bytes)?;
    if component.has_wasi {
        return Err(Failure::Other(format!(
            "{} imports WASI; what is built here needs none",
            path.display()
        )));
    }
    Ok(component)
}

/// A world, and the file or folder with its WIT.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) wit: &'a Path,
    pub(crate) name: &'static str,
}

/// Makes the core module at `path` a component: its imports and exports have the names of `world`. It imports the first preview
/// of WASI too, which is the module whose text is in `adapter`; that has a world of its own.
pub(crate) fn from_preview1(
    path: &Path,
    world: World<'_>,
    adapter: (&Path, World<'_>),
) -> Result<Component, Failure> {
    let (text, its_world) = adapter;
    let adapter = wat::parse_file(text)
        .map_err(|error| Failure::Other(format!("{} is no module: {error}", text.display())))?;
    let module = fs::read(path).map_err(Failure::file("read", path))?;
    let (module, adapter) = (describe(module, world)?, describe(adapter, its_world)?);
    let encoder = ComponentEncoder::default();
    let bytes = encoder
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.adapter(PREVIEW1, &adapter))
        .and_then(|mut encoder| encoder.encode())
        .map_err(no_extension(path))?;
    inspect(path, bytes)
}

/// Adds the section that says what the names of a module mean.
fn describe(mut module: Vec<u8>, world: World<'_>) -> Result<Vec<u8>, Failure> {
    let mut resolve = Resolve::default();
    resolve
        .push_path(world.wit)
        .and_then(|(package, _)| resolve.select_world(&[package], Some(world.name)))
        .and_then(|id| embed_component_metadata(&mut module, &resolve, id, StringEncoding::UTF8))
        .map_err(no_extension(world.wit))?;
    Ok(module)
}

/// Reads what a component needs; `path` is where it or its module is.
pub(crate) fn inspect(path: &Path, bytes: Vec<u8>) -> Result<Component, Failure> {
    let failed = no_extension(path);
    let (resolve, world) = match decode(&bytes).map_err(failed)? {
        DecodedWasm::Component(resolve, world) => (resolve, world),
        DecodedWasm::WitPackage(..) => {
            return Err(Failure::Other(format!(
                "{} is no extension: it decodes as an interface",
                path.display()
            )));
        }
    };
    let mut component = Component { bytes, capabilities: Vec::new(), has_wasi: false };
    for key in resolve.worlds[world].imports.keys() {
        let name = resolve.name_world_key(key);
        let (interface, _version) = name.split_once('@').unwrap_or((&name, ""));
        if TYPES.contains(&interface) {
            continue;
        }
        let broker = (interface == BROKER).then_some("broker");
        if let Some(capability) = broker.or_else(|| interface.strip_prefix(CAPABILITIES)) {
            component.capabilities.push(capability.to_owned());
        } else if name.starts_with(WASI) {
            component.has_wasi = true;
        } else {
            return Err(Failure::Other(format!(
                "{} imports {name}; an extension imports {CAPABILITIES}* and WASI only",
                path.display()
            )));
        }
    }
    Ok(component)
}

fn no_extension<E: std::fmt::Debug>(path: &Path) -> impl FnOnce(E) -> Failure {
    let path = path.display().to_string();
    move |error| Failure::Other(format!("{path} is no extension: {error:?}"))
}
