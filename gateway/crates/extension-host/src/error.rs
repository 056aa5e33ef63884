//! Why an engine or an extension cannot be had, in sentences for the operator.

use std::fmt;

use crate::answer::Failure;
use crate::kind::EngineKind;
use crate::spec::Capability;

/// The engine could not be set up.
#[derive(Debug)]
pub enum HostError {
    /// The engine refuses its settings on this machine.
    Engine(String),
    /// The thread that enforces deadlines could not be started.
    Ticker(std::io::Error),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(why) => write!(f, "the WebAssembly engine could not be set up: {why}"),
            Self::Ticker(why) => {
                write!(f, "the thread that enforces extension deadlines could not start: {why}")
            }
        }
    }
}

impl std::error::Error for HostError {}

/// An extension could not be loaded, or not with its new configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The bytes are something else than a portable component.
    NotAComponent {
        /// Name of the extension.
        extension: String,
        /// What they are.
        found: &'static str,
    },
    /// The bytes do not have the pinned hash.
    HashMismatch {
        /// Name of the extension.
        extension: String,
        /// SHA-256 from the configuration, in hexadecimal.
        pinned: String,
        /// SHA-256 of the bytes, in hexadecimal.
        found: String,
    },
    /// The component is something else than what was signed.
    Attestation {
        /// Name of the extension.
        extension: String,
        /// Who signed it.
        by: String,
        /// What differs.
        why: String,
    },
    /// The component or what it needs is larger than allowed.
    TooBig {
        /// Name of the extension.
        extension: String,
        /// What it wants too much of, with its unit.
        what: &'static str,
        /// How much.
        wanted: usize,
        /// The most it can have.
        limit: usize,
    },
    /// A limit of the configuration is outside of what the engine can do.
    BadLimit {
        /// Name of the extension.
        extension: String,
        /// Which, what it is and what it may be.
        why: String,
    },
    /// The component is not valid or cannot be compiled.
    Compile {
        /// Name of the extension.
        extension: String,
        /// The engine's words.
        why: String,
    },
    /// This build has no compiler, and there is no code of the component for its engine.
    NoCode {
        /// Name of the extension.
        extension: String,
        /// What the code must be for.
        kind: EngineKind,
        /// Name of the file that it would be in.
        file: String,
        /// Whether the operator has named a key whose owner's code is taken.
        is_trusting: bool,
    },
    /// The component imports something that it is not granted.
    ForbiddenImport {
        /// Name of the extension.
        extension: String,
        /// The import.
        import: String,
        /// What would grant it; nothing can if none.
        grant: Option<Capability>,
    },
    /// The component imports a capability of the contract for which this gateway has no back end.
    NotBuiltIn {
        /// Name of the extension.
        extension: String,
        /// The import.
        import: String,
    },
    /// The component was built for another line of the contract.
    ContractVersion {
        /// Name of the extension.
        extension: String,
        /// Interface and version that the component was built for.
        wanted: String,
        /// Line of versions that this gateway speaks.
        spoken: &'static str,
    },
    /// The component does not export `lifecycle`.
    MissingLifecycle {
        /// Name of the extension.
        extension: String,
    },
    /// The component exports a hook of the contract that this gateway does not know.
    UnknownHook {
        /// Name of the extension.
        extension: String,
        /// The export.
        export: String,
    },
    /// The component exports no hook.
    NoHook {
        /// Name of the extension.
        extension: String,
    },
    /// A new version lacks a hook that the running one has.
    LostHook {
        /// Name of the extension.
        extension: String,
        /// The hook.
        hook: &'static str,
    },
    /// Imports or exports have the names of the contract and other types.
    WrongWorld {
        /// Name of the extension.
        extension: String,
        /// What differs.
        why: String,
    },
    /// The names of its methods of enhanced authentication are outside of the contract.
    BadMethods {
        /// Name of the extension.
        extension: String,
        /// Which and why.
        why: String,
    },
    /// What an interceptor wants to see is outside of the contract.
    BadInterest {
        /// Name of the extension.
        extension: String,
        /// The hook.
        hook: &'static str,
        /// What is wrong with it, and the rule.
        why: String,
    },
    /// `lifecycle.init` answered with an error, or `reconfiguration.reconfigure` did.
    InitFailed {
        /// Name of the extension.
        extension: String,
        /// The guest's words.
        reason: String,
    },
    /// The guest failed before `lifecycle.init` answered.
    InitTrapped {
        /// Name of the extension.
        extension: String,
        /// How it failed.
        failure: Failure,
    },
    /// The guest failed before `reconfiguration.reconfigure` answered.
    ReconfigureTrapped {
        /// Name of the extension.
        extension: String,
        /// How it failed.
        failure: Failure,
    },
    /// There was no room for an instance.
    NoRoom {
        /// Name of the extension.
        extension: String,
        /// The engine's words.
        why: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "extension \"{}\": ", self.extension())?;
        match self {
            Self::NotAComponent { found, .. } => write!(
                f,
                "the file is {found}, not a WebAssembly component; build a portable component \
                 (with `wasm-tools component new` or `cargo xtask extensions`)"
            ),
            Self::HashMismatch { pinned, found, .. } => write!(
                f,
                "the component has SHA-256 {found} but gateway.toml pins {pinned}; restore the pinned \
                 file, or change `sha256` if the new one is trusted"
            ),
            Self::Attestation { by, why, .. } => write!(
                f,
                "the component is not what \"{by}\" signed: {why}; have it signed as what it is"
            ),
            Self::TooBig { what, wanted, limit, .. } => {
                write!(f, "needs {wanted} {what}, the limit is {limit}; raise the limit or build it smaller")
            }
            Self::BadLimit { why, .. } => f.write_str(why),
            Self::Compile { why, .. } => write!(f, "the component is not valid: {why}"),
            Self::NoCode { kind, file, is_trusting, .. } => no_code(f, kind, file, *is_trusting),
            Self::ForbiddenImport { import, grant, .. } => forbidden_import(f, import, *grant),
            Self::NotBuiltIn { import, .. } => write!(
                f,
                "imports {import}, and such connections are not built into this gateway; use a release \
                 that has them, or reach the server through one that speaks HTTP (`http`)"
            ),
            Self::ContractVersion { wanted, spoken, .. } => write!(
                f,
                "was built for {wanted}, this gateway speaks {spoken}; rebuild it against that version"
            ),
            Self::MissingLifecycle { .. } => f.write_str(
                "does not export portcullis:gateway/lifecycle, which every extension must; build it \
                 for a world that includes `base`",
            ),
            Self::UnknownHook { export, .. } => write!(
                f,
                "exports {export}, a hook that this gateway does not call; use a newer gateway or \
                 build the extension without it"
            ),
            Self::NoHook { .. } => f.write_str(
                "exports no hook; export portcullis:gateway/authenticator, enhanced-authenticator, authorizer, \
                 publish-interceptor, delivery-interceptor or observer",
            ),
            Self::LostHook { hook, .. } => write!(
                f,
                "the new version does not export portcullis:gateway/{hook}, which the running one does and \
                 clients depend on; export it, or restart the gateway to go without"
            ),
            Self::WrongWorld { why, .. } => write!(
                f,
                "differs from the contract: {why}; rebuild it from the gateway's wit folder"
            ),
            Self::BadMethods { why, .. } => {
                write!(f, "enhanced-authenticator.methods is of no use: {why}")
            }
            Self::BadInterest { hook, why, .. } => write!(f, "{hook}.wants is of no use: {why}"),
            Self::InitFailed { reason, .. } => write!(f, "refuses its configuration: {reason}"),
            Self::InitTrapped { failure, .. } => write!(f, "init: {failure}"),
            Self::ReconfigureTrapped { failure, .. } => write!(f, "reconfigure: {failure}"),
            Self::NoRoom { why, .. } => write!(
                f,
                "no room for an instance: {why}; lower `memory` or `instances`, or free memory"
            ),
        }
    }
}

fn no_code(
    f: &mut fmt::Formatter<'_>,
    kind: &EngineKind,
    file: &str,
    is_trusting: bool,
) -> fmt::Result {
    let EngineKind { target, space, .. } = kind;
    let version = env!("CARGO_PKG_VERSION");
    write!(
        f,
        "this build has no compiler, and there is no code of the component for its engine ({kind}); on a workstation run \
         `portcullis extension compile COMPONENT --target {target} --plan {space} --key FILE --out DIR` of version {version}, \
         and bring {file}.code from DIR into compiler.code-dir"
    )?;
    match is_trusting {
        true => Ok(()),
        false => f.write_str("; name the key's public half in compiler.code-keys"),
    }
}

fn forbidden_import(
    f: &mut fmt::Formatter<'_>,
    import: &str,
    grant: Option<Capability>,
) -> fmt::Result {
    match grant {
        Some(capability) => write!(
            f,
            "imports {import}, which it is not granted; add \"{capability}\" to its `grants` in \
             gateway.toml if it should have it"
        ),
        None if import.starts_with("wasi:") => write!(
            f,
            "imports {import}, which this gateway does not provide; it has cli, clocks, filesystem, io, \
             random and sockets of WASI 0.2, all of them empty"
        ),
        None => write!(f, "imports {import}, which nothing can grant; build it without"),
    }
}

impl LoadError {
    /// Name of the extension that it is about.
    #[must_use]
    pub fn extension(&self) -> &str {
        match self {
            Self::NotAComponent { extension, .. }
            | Self::HashMismatch { extension, .. }
            | Self::Attestation { extension, .. }
            | Self::TooBig { extension, .. }
            | Self::BadLimit { extension, .. }
            | Self::Compile { extension, .. }
            | Self::NoCode { extension, .. }
            | Self::ForbiddenImport { extension, .. }
            | Self::NotBuiltIn { extension, .. }
            | Self::ContractVersion { extension, .. }
            | Self::MissingLifecycle { extension }
            | Self::UnknownHook { extension, .. }
            | Self::NoHook { extension }
            | Self::LostHook { extension, .. }
            | Self::WrongWorld { extension, .. }
            | Self::BadMethods { extension, .. }
            | Self::BadInterest { extension, .. }
            | Self::InitFailed { extension, .. }
            | Self::InitTrapped { extension, .. }
            | Self::ReconfigureTrapped { extension, .. }
            | Self::NoRoom { extension, .. } => extension,
        }
    }
}

impl std::error::Error for LoadError {}
