use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use extension_host::{AddressSpace, EngineKind, EngineSettings, Target};

use super::sign::read_key;
use crate::cli::say;
use crate::code_cache::CODE;
use crate::compiler::Workbench;
use crate::extensions::Extensions;
use crate::facilities::Surroundings;
use crate::failure::Failure;
use crate::machine;
use crate::package::Package;

pub(super) const HELP: &str = "\
  portcullis extension compile COMPONENT... --key FILE --out DIR [--target TRIPLE] [--plan wide|ample|tight]
                                    compile components for a gateway elsewhere, and sign the code with a key of its
                                    compiler.code-keys: DIR/NAME.code, for its compiler.code-dir. TARGET and PLAN are
                                    what `extension engine` says there
  portcullis extension compile --config FILE
                                    compile what a gateway's configuration names, as a start of it would";

/// What is compiled, and for whom.
#[derive(Debug, PartialEq)]
pub(crate) enum Compiling {
    /// What the configuration of a gateway on this machine names, into its cache.
    Here(PathBuf),
    /// Components, into files for a gateway elsewhere.
    Elsewhere(Elsewhere),
}

/// Components for a gateway elsewhere.
#[derive(Debug, PartialEq)]
pub(crate) struct Elsewhere {
    pub(crate) components: Vec<PathBuf>,
    /// The private key that signs the code.
    pub(crate) key: PathBuf,
    pub(crate) out: PathBuf,
    /// What it runs on; as this machine if nothing is said.
    pub(crate) target: Option<Target>,
    /// How it lays out memories.
    pub(crate) plan: Option<AddressSpace>,
}

/// `portcullis extension compile`
pub(super) fn run(compiling: &Compiling) -> Result<(), Failure> {
    match compiling {
        Compiling::Here(config) => here(config),
        Compiling::Elsewhere(order) => elsewhere(order),
    }
}

/// Loads all extensions as a start does, which compiles what is not kept yet, and forgets them.
fn here(file: &Path) -> Result<(), Failure> {
    let checked = config::load(file).map_err(Failure::Config)?;
    if checked.compiler.cache.is_none() {
        return Err(Failure::Extension(format!(
            "{} has compiler.cache = false, so nothing would be kept; remove it",
            file.display()
        )));
    }
    let workbench = Workbench::open(&checked.compiler, &checked.data);
    let surroundings = Arc::new(Surroundings::of_nobody());
    let extensions = Extensions::load(&checked, workbench, surroundings)?;
    let names: Vec<_> = extensions.all().map(|extension| extension.id().to_string()).collect();
    say(&format!("The next start has the code of {}.", names.join(", ")))
}

fn elsewhere(order: &Elsewhere) -> Result<(), Failure> {
    let key = read_key(&order.key)?;
    let kind = kind(order);
    fs::create_dir_all(&order.out).map_err(Failure::file("create", &order.out))?;
    for path in &order.components {
        let text = path.to_string_lossy();
        let (place, reference) = config::place(&text);
        let component = Package::read(Path::new(place), reference)?.component;
        let compiled = extension_host::compile_for(&kind, &component, &key);
        let (name, bytes) = compiled.map_err(|why| Failure::Extension(format!("{text}: {why}")))?;
        let file = order.out.join(format!("{name}{CODE}"));
        write(&file, &bytes).map_err(Failure::file("write", &file))?;
        say(&format!("{}: {text} for {kind}, {} bytes", file.display(), bytes.len()))?;
    }
    say(&format!("For gateways with compiler.code-keys = [\"{}\"].", key.public()))
}

/// The engine that the code is for. Boards with 64 bits have 39 bits of addresses or more, those with 32 have few.
fn kind(order: &Elsewhere) -> EngineKind {
    let here = EngineKind::here(&match (order.target, order.plan) {
        (None, None) => machine::engine_settings(),
        _ => EngineSettings::default(),
    });
    let target = order.target.unwrap_or(here.target);
    let usual = match target.has_few_addresses() {
        true => AddressSpace::Tight,
        false => here.space,
    };
    EngineKind { target, space: order.plan.unwrap_or(usual), ..here }
}

/// Whole or not at all: a gateway may read it meanwhile.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    fs::write(&aside, bytes)?;
    File::open(&aside)?.sync_all()?;
    fs::rename(&aside, path)
}
