//! What a component imports and offers, and whether it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use extension_host::{
    Capability, EngineSettings, Extension, ExtensionLimits, ExtensionSpec, Facilities, Facts,
    Hooks, Host, LoadError, Need,
};

use crate::failure::Failure;
use crate::given;
use crate::suite::host;

/// What is known of a component. Displays as a page for its author.
#[derive(Debug)]
pub struct Checked {
    page: String,
    problems: usize,
}

impl Checked {
    /// Whether a gateway could load it.
    pub fn is_good(&self) -> bool {
        self.problems == 0
    }
}

impl std::fmt::Display for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.page)
    }
}

/// Checks a component: each import, the hooks, the version of the contract, the size, and whether it starts. With
/// `given`, what an operator states of it, it starts with that; otherwise with all that it asks for and no settings, and
/// that it asks for some is then no fault.
///
/// # Errors
/// The file cannot be read, or holds no valid component.
pub fn check(component: &Path, given: Option<ExtensionSpec>) -> Result<Checked, Failure> {
    let bytes = given::component(component)?;
    let host = host()?;
    let name = component.file_stem().unwrap_or_default().to_string_lossy();
    let name = given.as_ref().map_or(&*name, |given| &given.name);
    let facts = host
        .examine(name, &bytes)
        .map_err(|error| Failure::Component(format!("{}: {error}", component.display())))?;
    let mut page = Page { text: String::new(), problems: 0 };
    page.facts(component, &facts);
    page.imports(&facts, given.as_ref());
    if page.problems == 0 {
        let spec = match &given {
            Some(given) => {
                // What is pinned and signed is the component of today, and this may be that of tomorrow.
                let (sha256_pin, attestation) = (None, None);
                ExtensionSpec { component: bytes, sha256_pin, attestation, ..given.clone() }
            }
            None => all_granted(name, bytes, &facts),
        };
        page.start(&host, spec, given.is_some());
    }
    page.verdict();
    Ok(Checked { page: page.text, problems: page.problems })
}

/// A component with all that it asks for, and with room for what an interpreter takes.
fn all_granted(name: &str, component: Arc<[u8]>, facts: &Facts) -> ExtensionSpec {
    ExtensionSpec {
        name: name.to_owned(),
        component,
        sha256_pin: None,
        attestation: None,
        grants: facts.grants().into_iter().filter_map(Capability::from_name).collect(),
        config: BTreeMap::new(),
        keyring: Arc::default(),
        facilities: Facilities::default(),
        limits: ExtensionLimits {
            memory_bytes: EngineSettings::default().max_memory_bytes,
            ..ExtensionLimits::default()
        },
    }
}

/// What a component finds behind an import of WASI.
fn wasi(import: &str) -> &'static str {
    match Capability::behind_wasi(import) {
        Some(Capability::Random) => "there; it ends the call without the grant \"random\"",
        Some(_) => "there; it stands still without the grant \"clock\"",
        None => "there, and empty",
    }
}

struct Page {
    text: String,
    problems: usize,
}

impl Page {
    fn line(&mut self, title: &str, text: impl std::fmt::Display) {
        // Writing to a text does not fail.
        let _ = writeln!(self.text, "{title:<10} {text}");
    }

    fn problem(&mut self, title: &str, text: impl std::fmt::Display) {
        self.problems += 1;
        self.line(title, text);
    }

    fn facts(&mut self, component: &Path, facts: &Facts) {
        let sha256: String = facts.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let (kib, code) = (kib(facts.bytes), kib(facts.code_bytes));
        self.line("component", component.display());
        self.line("sha256", sha256);
        let ms = millis(facts.compiled_in);
        self.line("size", format!("{kib}, {code} as machine code, compiled in {ms}"));
        let hooks: Vec<_> = facts.hooks().collect();
        match hooks.as_slice() {
            [] => self.problem(
                "hooks",
                "none; export authenticator, enhanced-authenticator, authorizer, publish-interceptor, \
                 delivery-interceptor or observer",
            ),
            hooks => self.line("hooks", hooks.join(", ")),
        }
        let contract = contract(facts);
        self.line(
            "contract",
            if contract.is_empty() { "none of ours".to_owned() } else { contract },
        );
    }

    fn imports(&mut self, facts: &Facts, given: Option<&ExtensionSpec>) {
        let granted = |capability: Capability| given.map(|it| it.grants.contains(&capability));
        let (mut to_add, mut perhaps) = (BTreeSet::new(), BTreeSet::new());
        for (import, need) in &facts.imports {
            match need {
                Need::Nothing => self.line("import", format!("{import}: there for everyone")),
                Need::Wasi => {
                    let behind = Capability::behind_wasi(import);
                    perhaps.extend(behind.filter(|behind| granted(*behind) != Some(true)));
                    self.line("import", format!("{import}: {}", wasi(import)));
                }
                Need::Grant(capability) => {
                    let granted = granted(*capability);
                    if granted == Some(true) {
                        self.line("import", format!("{import}: granted"));
                        continue;
                    }
                    to_add.insert(*capability);
                    let text = format!("{import}: needs the grant \"{capability}\"");
                    match granted {
                        Some(_) => self.problem("import", text),
                        None => self.line("import", text),
                    }
                }
                Need::OtherVersion => self.problem(
                    "import",
                    format!("{import}: another version of the contract than this gateway speaks; build it again"),
                ),
                Need::NotBuiltIn => self.problem(
                    "import",
                    format!("{import}: in the contract, and not built into this gateway; do without it"),
                ),
                Need::Impossible => {
                    self.problem("import", format!("{import}: not there; {}", advice(import)));
                }
            }
        }
        // Toolchains import WASI whether they use it or not: an operator who has stated grants may have left these out on purpose.
        let title = match (to_add.is_empty(), perhaps.is_empty()) {
            (true, true) => return,
            (true, false) if given.is_some() => "perhaps",
            _ => "to add",
        };
        let name = given.map_or("NAME", |given| &given.name);
        let already = given.iter().flat_map(|given| &given.grants).copied();
        let mut grants: Vec<Capability> = already.collect();
        grants.extend(to_add.union(&perhaps));
        let grants: Vec<_> = grants.iter().map(|grant| format!("\"{grant}\"")).collect();
        let grants = grants.join(", ");
        self.line(title, format!("grants = [{grants}], in [extensions.{name}] of gateway.toml"));
    }

    /// Has it start, which is the only way to know whether it does.
    fn start(&mut self, host: &Host, spec: ExtensionSpec, with_settings: bool) {
        let began = Instant::now();
        match host.load(spec) {
            Ok(extension) => {
                let memory = memory(&extension);
                let took = millis(began.elapsed());
                self.line("init", format!("ready; {memory} of memory, loaded in {took}"));
            }
            Err(LoadError::InitFailed { reason, .. }) if !with_settings => {
                let how = "--config gateway.toml --name NAME";
                self.line("init", format!("says without settings: {reason} (try it with {how})"));
            }
            Err(error @ LoadError::UnknownHook { .. }) => {
                let LoadError::UnknownHook { export, .. } = &error else { return };
                let advice = advice_on_hook(export);
                self.problem("init", format!("{error}; {advice}"));
            }
            Err(error) => self.problem("init", error),
        }
    }

    fn verdict(&mut self) {
        match self.problems {
            0 => self.line("verdict", "good"),
            1 => self.line("verdict", "1 problem"),
            many => self.line("verdict", format!("{many} problems")),
        }
    }
}

/// The versions of the contract that it was built for, each once.
fn contract(facts: &Facts) -> String {
    let names = facts.exports.iter().chain(facts.imports.iter().map(|(import, _)| import));
    let mut packages: Vec<_> = names
        .filter_map(|name| {
            let (interface, version) = name.split_once('@')?;
            let package = interface.split_once('/')?.0;
            package.starts_with("portcullis:").then(|| format!("{package}@{version}"))
        })
        .collect();
    packages.sort();
    packages.dedup();
    packages.join(", ")
}

/// The package of capabilities, and that of hooks and of the capability that speaks of their types.
const HOST: &str = "portcullis:host";
const GATEWAY: &str = "portcullis:gateway";

/// What the author of an import that is not there probably meant. Names are compared inside of their package: a package's
/// name is long and would let any name look like any other.
fn advice(import: &str) -> String {
    let interface = interface(import);
    let known: Vec<String> = Capability::ALL.into_iter().map(Capability::interface).collect();
    let (package, name) = interface.split_once('/').unwrap_or((interface, ""));
    if package.starts_with("wasi:") {
        let there = "this gateway has cli, clocks, filesystem, io, random and sockets of WASI 0.2, all empty";
        return there.to_owned();
    }
    if [HOST, GATEWAY].contains(&package) {
        if let Some(elsewhere) = Capability::from_name(name) {
            return format!("did you mean {}?", elsewhere.interface());
        }
        if package == GATEWAY && Hooks::ALL.names().any(|hook| hook == name) {
            return "it is a hook: export it".to_owned();
        }
        let inside =
            known.iter().filter_map(|known| known.strip_prefix(package)?.strip_prefix('/'));
        if let Some(nearest) = config::nearest(name, inside) {
            return format!("did you mean {package}/{nearest}?");
        }
    }
    format!("there are {}", known.join(", "))
}

/// What the author of a hook that nobody calls probably meant.
fn advice_on_hook(export: &str) -> String {
    let interface = interface(export);
    let name = interface.split_once('/').map_or(interface, |(_, name)| name);
    match config::nearest(name, Hooks::ALL.names().chain(["lifecycle"])) {
        Some(nearest) => format!("did you mean {GATEWAY}/{nearest}?"),
        None => format!("there are {}", Hooks::ALL.names().collect::<Vec<_>>().join(", ")),
    }
}

/// An import or export without its version.
fn interface(name: &str) -> &str {
    name.split_once('@').map_or(name, |(interface, _)| interface)
}

fn memory(extension: &Extension) -> String {
    kib(usize::try_from(extension.stats().memory_bytes).unwrap_or(usize::MAX))
}

fn kib(bytes: usize) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        for (import, said) in [
            ("portcullis:host/lgo@0.1.0", "did you mean portcullis:host/log?"),
            ("portcullis:host/credential@0.1.0", "did you mean portcullis:host/credentials?"),
            ("portcullis:host/broker@0.1.0", "did you mean portcullis:gateway/broker?"),
            ("portcullis:gateway/brokr@0.1.0", "did you mean portcullis:gateway/broker?"),
            ("portcullis:gateway/log@0.1.0", "did you mean portcullis:host/log?"),
            ("portcullis:gateway/authorizer@0.1.0", "it is a hook"),
            ("portcullis:host/tls@0.1.0", "there are portcullis:host/log, "),
            ("portcullis:gateway/clock-work@0.1.0", "there are portcullis:host/log, "),
            ("wasi:http/types@0.2.3", "cli, clocks"),
            ("env", "there are portcullis:host/log, "),
        ] {
            assert!(advice(import).contains(said), "{import}: {}", advice(import));
        }
    }

    #[test]
    fn the_nearest_hook_is_offered() {
        for (export, said) in [
            (
                "portcullis:gateway/authenticater@0.1.0",
                "did you mean portcullis:gateway/authenticator?",
            ),
            ("portcullis:gateway/observers@0.1.0", "did you mean portcullis:gateway/observer?"),
            ("portcullis:gateway/life-cycle@0.1.0", "did you mean portcullis:gateway/lifecycle?"),
            ("portcullis:gateway/keepalive@0.1.0", "there are authenticator, "),
        ] {
            let advice = advice_on_hook(export);
            assert!(advice.contains(said), "{export}: {advice}");
        }
    }

    fn page(imports: &[(&str, Need)], given: Option<&ExtensionSpec>) -> String {
        let facts = Facts {
            sha256: [0; 32],
            bytes: 1,
            code_bytes: 1,
            compiled_in: Duration::ZERO,
            exports: Vec::new(),
            imports: imports.iter().map(|(name, need)| ((*name).to_owned(), *need)).collect(),
        };
        let mut page = Page { text: String::new(), problems: 0 };
        page.imports(&facts, given);
        assert_eq!(page.problems, 0, "{}", page.text);
        page.text
    }

    /// The line of grants must be enough for the component to work.
    #[test]
    fn what_wasi_needs_is_in_the_line_of_grants() {
        let imports = [
            ("portcullis:host/log@0.1.0", Need::Grant(Capability::Log)),
            ("wasi:random/random@0.2.3", Need::Wasi),
            ("wasi:clocks/wall-clock@0.2.3", Need::Wasi),
            ("wasi:clocks/monotonic-clock@0.2.3", Need::Wasi),
            ("wasi:io/streams@0.2.3", Need::Wasi),
        ];
        let said = page(&imports, None);
        assert!(
            said.contains(
                "to add     grants = [\"log\", \"clock\", \"random\"], in [extensions.NAME]"
            ),
            "{said}"
        );
        let mut given = all_granted(
            "gate",
            Arc::from(*b"component"),
            &Facts {
                sha256: [0; 32],
                bytes: 0,
                code_bytes: 0,
                compiled_in: Duration::ZERO,
                exports: Vec::new(),
                imports: Vec::new(),
            },
        );
        given.grants.insert(Capability::Log);
        let said = page(&imports, Some(&given));
        assert!(said.contains("perhaps    grants = [\"log\", \"clock\", \"random\"]"), "{said}");
        given.grants.extend([Capability::Clock, Capability::Random]);
        let said = page(&imports, Some(&given));
        assert!(!said.contains("grants = ["), "{said}");
    }
}
