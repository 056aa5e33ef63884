//! WASI 0.2 for guests of toolchains that import it whether they use it or not: present, and empty.
//!
//! There are no files, no network, no environment and no arguments; what a guest writes to its standard output goes to
//! the gateway's log. The clocks and random numbers are those of `portcullis:host` and need the same grants. Only
//! what can be reached without a file or a socket needs an answer; the rest would need a handle that no guest
//! can have, and ends the call.

mod answer;

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceAny, ResourceType, Val};
use wasmtime::{AsContextMut, Engine, StoreContextMut};

use crate::guest::{Ended, Guest};

/// The packages that are there, each with all of its interfaces.
const PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
/// The line of versions that they are there in.
const LINE: &str = "0.2.";

/// The kinds of handles, in the order of their numbers.
const RESOURCES: [&str; 14] = [
    "error",
    "pollable",
    "input-stream",
    "output-stream",
    "terminal-input",
    "terminal-output",
    "descriptor",
    "directory-entry-stream",
    "network",
    "tcp-socket",
    "udp-socket",
    "incoming-datagram-stream",
    "outgoing-datagram-stream",
    "resolve-address-stream",
];

/// Whether an import is of a WASI that is there.
pub(crate) fn is_provided(interface: &str, version: &str) -> bool {
    version.starts_with(LINE) && PACKAGES.iter().any(|package| interface.starts_with(package))
}

/// Defines what a component imports of WASI.
pub(crate) fn link(linker: &mut Linker<Guest>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine();
    for (import, item) in component.component_type().imports(engine) {
        let (interface, version) = import.split_once('@').unwrap_or((import, ""));
        if let ComponentItem::ComponentInstance(instance) = &item.ty
            && is_provided(interface, version)
        {
            define(engine, &mut linker.instance(import)?, interface, instance)?;
        }
    }
    Ok(())
}

fn define(
    engine: &Engine,
    linker: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    instance: &ComponentInstance,
) -> wasmtime::Result<()> {
    for (name, item) in instance.exports(engine) {
        match item.ty {
            ComponentItem::Resource(_) => {
                let kind = kind(name).ok_or_else(|| unknown(interface, name))?;
                linker.resource(name, ResourceType::host_dynamic(kind), |_, _| Ok(()))?;
            }
            ComponentItem::ComponentFunc(_) => {
                let function = format!("{interface}.{name}");
                linker.func_new(name, move |mut store, _, arguments, results| {
                    let said = Arguments::of(&mut store, arguments)?;
                    let answer = answer::to(&mut store, &function, &said)?;
                    match (results, answer) {
                        ([result], Some(answer)) => *result = answer,
                        ([], None) => {}
                        _ => return Err(unknown(&function, "with another type")),
                    }
                    Ok(())
                })?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn kind(resource: &str) -> Option<u32> {
    let at = RESOURCES.iter().position(|known| *known == resource)?;
    u32::try_from(at).ok()
}

fn unknown(interface: &str, name: &str) -> wasmtime::Error {
    Ended::error(format!("{interface} {name} is not in this gateway's WASI 0.2"))
}

/// What a guest passed: values, and what its handles stand for. The handles themselves have been given back.
struct Arguments<'a> {
    values: &'a [Val],
    handles: Vec<u32>,
}

impl<'a> Arguments<'a> {
    fn of(store: &mut StoreContextMut<'_, Guest>, values: &'a [Val]) -> wasmtime::Result<Self> {
        let mut handles = Vec::new();
        for value in values {
            match value {
                Val::Resource(handle) => handles.push(release(store, *handle)?),
                Val::List(entries) => {
                    for entry in entries {
                        let Val::Resource(handle) = entry else { break };
                        handles.push(release(store, *handle)?);
                    }
                }
                _ => {}
            }
        }
        Ok(Self { values, handles })
    }

    /// The bytes of the argument at this place.
    fn bytes(&self, at: usize) -> Vec<u8> {
        let Some(Val::List(entries)) = self.values.get(at) else { return Vec::new() };
        let byte = |value: &Val| if let Val::U8(byte) = value { Some(*byte) } else { None };
        entries.iter().filter_map(byte).collect()
    }

    fn number(&self, at: usize) -> u64 {
        match self.values.get(at) {
            Some(Val::U64(number)) => *number,
            _ => 0,
        }
    }
}

/// Gives a handle back: a borrowed one must not outlast the call.
fn release(store: &mut StoreContextMut<'_, Guest>, handle: ResourceAny) -> wasmtime::Result<u32> {
    Ok(handle.try_into_resource_dynamic(store.as_context_mut())?.rep())
}
