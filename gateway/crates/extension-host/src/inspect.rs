//! Reads what a component wants and offers, before anything of it runs.

use std::collections::BTreeSet;

use wasmtime::component::{Component, InstancePre};

use crate::bindings::exports::portcullis::gateway::{
    authenticator, authorizer, batch_authorizer, bulk_authorizer, client_limits,
    delivery_interceptor, enhanced_authenticator, lifecycle, observer, publish_interceptor,
    reconfiguration,
};
use crate::error::LoadError;
use crate::guest::Guest;
use crate::instance::{Exports, chain};
use crate::spec::Capability;
use crate::wasi;

/// The line of contract versions that this gateway speaks.
const SPOKEN: &str = "0.1";
const GATEWAY: &str = "portcullis:gateway/";
const HOST: &str = "portcullis:host/";
/// The capability that is not in `portcullis:host`.
const BROKER: &str = "portcullis:gateway/broker";
/// Interfaces that are types and nothing else: they need no grant.
const TYPES: [&str; 3] =
    ["portcullis:gateway/types", "portcullis:gateway/interception", "portcullis:host/connections"];
/// Kinds of servers elsewhere that the contract has and this gateway has nothing for.
const NOT_BUILT_IN: [&str; 3] =
    ["portcullis:host/sql", "portcullis:host/redis", "portcullis:host/ldap"];

/// Which hooks an extension has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// `portcullis:gateway/authenticator`
    pub authenticator: bool,
    /// `portcullis:gateway/enhanced-authenticator`
    pub enhanced_authenticator: bool,
    /// `portcullis:gateway/authorizer`
    pub authorizer: bool,
    /// `portcullis:gateway/batch-authorizer`; with `authorizer` only.
    pub batch_authorizer: bool,
    /// `portcullis:gateway/bulk-authorizer`; with `authorizer` only.
    pub bulk_authorizer: bool,
    /// `portcullis:gateway/client-limits`
    pub client_limits: bool,
    /// `portcullis:gateway/publish-interceptor`
    pub publish_interceptor: bool,
    /// `portcullis:gateway/delivery-interceptor`
    pub delivery_interceptor: bool,
    /// `portcullis:gateway/observer`
    pub observer: bool,
    /// `portcullis:gateway/reconfiguration`; beside others only.
    pub reconfiguration: bool,
}

impl Hooks {
    /// All of them.
    pub const ALL: Self = Self {
        authenticator: true,
        enhanced_authenticator: true,
        authorizer: true,
        batch_authorizer: true,
        bulk_authorizer: true,
        client_limits: true,
        publish_interceptor: true,
        delivery_interceptor: true,
        observer: true,
        reconfiguration: true,
    };

    /// Where a hook stands in the contract's order; one that is not in it comes last.
    pub(crate) fn place(name: &str) -> usize {
        Self::ALL.names().position(|known| known == name).unwrap_or(usize::MAX)
    }

    /// Their names in the contract.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.authenticator, "authenticator"),
            (self.enhanced_authenticator, "enhanced-authenticator"),
            (self.authorizer, "authorizer"),
            (self.batch_authorizer, "batch-authorizer"),
            (self.bulk_authorizer, "bulk-authorizer"),
            (self.client_limits, "client-limits"),
            (self.publish_interceptor, "publish-interceptor"),
            (self.delivery_interceptor, "delivery-interceptor"),
            (self.observer, "observer"),
            (self.reconfiguration, "reconfiguration"),
        ]
        .into_iter()
        .filter_map(|(there, name)| there.then_some(name))
    }

    /// The first of these hooks that `other` has not, and that somebody depends on.
    pub(crate) fn lacks(self, other: Self) -> Option<&'static str> {
        self.alone().names().find(|name| other.names().all(|there| there != *name))
    }

    /// Those that are of use without others.
    fn alone(self) -> Self {
        Self { batch_authorizer: false, bulk_authorizer: false, reconfiguration: false, ..self }
    }
}

/// What it takes for a component to have an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it is there for everyone.
    Nothing,
    /// A part of WASI, which is there and empty.
    Wasi,
    /// The operator's grant.
    Grant(Capability),
    /// It is of another version of the contract.
    OtherVersion,
    /// It is in the contract, and this gateway has nothing behind it.
    NotBuiltIn,
    /// It cannot be had.
    Impossible,
}

/// What the bytes of a file are, going by their first ones; none for a component.
pub(crate) fn not_a_component(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => None,
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Some("a core WebAssembly module"),
        [0, b'a', b's', b'm', ..] => Some("WebAssembly of an unknown version"),
        [0x7f, b'E', b'L', b'F', ..] => Some("native code or a component compiled ahead of time"),
        [] => Some("empty"),
        _ => Some("no WebAssembly"),
    }
}

/// Names of all exports.
pub(crate) fn exports(component: &Component) -> Vec<String> {
    let exports = component.component_type();
    exports.exports(component.engine()).map(|(export, _)| export.to_owned()).collect()
}

/// All imports, and what it takes to have them.
pub(crate) fn needs(component: &Component) -> Vec<(String, Need)> {
    let imports = component.component_type();
    let need = |(import, _): (&str, _)| (import.to_owned(), need(import));
    imports.imports(component.engine()).map(need).collect()
}

/// Names of the capabilities that it imports, whether or not there are such.
pub(crate) fn asked(component: &Component) -> impl Iterator<Item = String> {
    let asked = |(import, _)| asked_by(import).map(str::to_owned);
    let imports = component.component_type();
    imports.imports(component.engine()).filter_map(asked).collect::<Vec<_>>().into_iter()
}

/// The capability of the contract that an import is. What is behind WASI does not count: there it is the operator's grant alone
/// that decides, and a signature from before that was named stays true.
pub(crate) fn asked_by(import: &str) -> Option<&str> {
    let (interface, _) = split_version(import);
    let interface = Some(interface).filter(|interface| !TYPES.contains(interface))?;
    let broker = (interface == BROKER).then_some("broker");
    broker.or_else(|| interface.strip_prefix(HOST))
}

/// The hook of the contract that an export is.
pub(crate) fn hook_of(export: &str) -> Option<&str> {
    split_version(export).0.strip_prefix(GATEWAY).filter(|name| *name != "lifecycle")
}

fn need(import: &str) -> Need {
    let (interface, version) = split_version(import);
    if wasi::is_provided(interface, version) {
        return Need::Wasi;
    }
    let known = if TYPES.contains(&interface) {
        Some(Need::Nothing)
    } else if NOT_BUILT_IN.contains(&interface) {
        Some(Need::NotBuiltIn)
    } else {
        Capability::of_interface(interface).map(Need::Grant)
    };
    match known {
        Some(_) if check_version("", import, version).is_err() => Need::OtherVersion,
        Some(need) => need,
        None => Need::Impossible,
    }
}

/// Checks the names of all imports against the grants.
pub(crate) fn check_imports(
    extension: &str,
    component: &Component,
    grants: &BTreeSet<Capability>,
) -> Result<(), LoadError> {
    for (import, need) in needs(component) {
        let grant = match need {
            Need::Nothing | Need::Wasi => continue,
            Need::Grant(capability) if grants.contains(&capability) => continue,
            Need::Grant(capability) => Some(capability),
            Need::OtherVersion => {
                check_version(extension, &import, split_version(&import).1)?;
                continue;
            }
            Need::NotBuiltIn => {
                return Err(LoadError::NotBuiltIn { extension: extension.into(), import });
            }
            Need::Impossible => None,
        };
        return Err(LoadError::ForbiddenImport { extension: extension.into(), import, grant });
    }
    Ok(())
}

/// Checks the names of all exports and finds the hooks among them. Other exports than the contract's are the
/// component's own business.
pub(crate) fn find_hooks(extension: &str, component: &Component) -> Result<Hooks, LoadError> {
    let mut hooks = Hooks::default();
    let mut lifecycle = false;
    for (export, _) in component.component_type().exports(component.engine()) {
        let (interface, version) = split_version(export);
        let Some(name) = interface.strip_prefix(GATEWAY) else { continue };
        check_version(extension, export, version)?;
        match name {
            "lifecycle" => lifecycle = true,
            "authenticator" => hooks.authenticator = true,
            "enhanced-authenticator" => hooks.enhanced_authenticator = true,
            "authorizer" => hooks.authorizer = true,
            "batch-authorizer" => hooks.batch_authorizer = true,
            "bulk-authorizer" => hooks.bulk_authorizer = true,
            "client-limits" => hooks.client_limits = true,
            "publish-interceptor" => hooks.publish_interceptor = true,
            "delivery-interceptor" => hooks.delivery_interceptor = true,
            "observer" => hooks.observer = true,
            "reconfiguration" => hooks.reconfiguration = true,
            _ => {
                return Err(LoadError::UnknownHook {
                    extension: extension.into(),
                    export: export.into(),
                });
            }
        }
    }
    if !lifecycle {
        return Err(LoadError::MissingLifecycle { extension: extension.into() });
    }
    if hooks.alone() == Hooks::default() {
        return Err(LoadError::NoHook { extension: extension.into() });
    }
    Ok(hooks)
}

/// Finds the functions of the hooks.
pub(crate) fn find_functions(
    extension: &str,
    pre: &InstancePre<Guest>,
    hooks: Hooks,
) -> Result<Exports, LoadError> {
    let wrong =
        |e: wasmtime::Error| LoadError::WrongWorld { extension: extension.into(), why: chain(&e) };
    macro_rules! find {
        ($hook:ident) => {
            hooks.$hook.then(|| $hook::GuestIndices::new(pre)).transpose().map_err(wrong)?
        };
    }
    Ok(Exports {
        lifecycle: lifecycle::GuestIndices::new(pre).map_err(wrong)?,
        authenticator: find!(authenticator),
        enhanced_authenticator: find!(enhanced_authenticator),
        authorizer: find!(authorizer),
        batch_authorizer: find!(batch_authorizer),
        bulk_authorizer: find!(bulk_authorizer),
        client_limits: find!(client_limits),
        publish_interceptor: find!(publish_interceptor),
        delivery_interceptor: find!(delivery_interceptor),
        observer: find!(observer),
        reconfiguration: find!(reconfiguration),
    })
}

fn check_version(extension: &str, name: &str, version: &str) -> Result<(), LoadError> {
    let spoken = version
        .strip_prefix(SPOKEN)
        .is_some_and(|patch| patch.starts_with('.') && !patch.contains('-'));
    if spoken {
        return Ok(());
    }
    Err(LoadError::ContractVersion {
        extension: extension.into(),
        wanted: name.into(),
        spoken: SPOKEN,
    })
}

/// `package:space/interface@version` in its two parts; the version is empty if there is none.
fn split_version(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_spoken_line_of_versions_is_accepted() {
        for good in ["0.1.0", "0.1.7"] {
            assert_eq!(check_version("x", "n", good), Ok(()), "{good}");
        }
        for bad in ["0.2.0", "0.10.0", "1.0.0", "0.1", "", "0.1.0-rc.1"] {
            assert!(check_version("x", "n", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_are_told_apart_by_their_first_bytes() {
        assert_eq!(not_a_component(b"\0asm\x0d\0\x01\0rest"), None);
        assert!(not_a_component(b"\0asm\x01\0\0\0").is_some_and(|f| f.contains("core")));
        assert!(not_a_component(b"\x7fELF....").is_some_and(|f| f.contains("ahead of time")));
        assert!(not_a_component(b"").is_some());
        assert!(not_a_component(b"(component)").is_some());
    }
}
