use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use auth::signature::{Manifest, Signature, SigningKey};
use extension_host::{EngineSettings, Facts, Host};

use crate::cli::say;
use crate::failure::Failure;
use crate::package::{Package, signature_of};

/// What to sign, with what, and as what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) key: PathBuf,
    pub(crate) component: PathBuf,
    pub(crate) name: Option<String>,
    pub(crate) release: Option<String>,
}

/// Modes of a file that give others than its owner something.
const OTHERS: u32 = 0o077;

/// `portcullis extension sign`
pub(super) fn run(order: &Order) -> Result<(), Failure> {
    let component = &order.component;
    let key = read_key(&order.key)?;
    let package = Package::read(component, None)?;
    let name = order.name.clone().unwrap_or_else(|| stem(component));
    let facts = examine(&name, &package.component)?;
    let words = |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect();
    let hooks: BTreeSet<String> = words(&mut facts.hooks());
    if hooks.is_empty() {
        return Err(Failure::Extension(format!(
            "{} exports no hook of portcullis:gateway, so it is no extension; sign one that does",
            component.display()
        )));
    }
    let grants = words(&mut facts.grants().into_iter());
    let release = order.release.clone();
    let manifest = Manifest { name, release, component: facts.sha256, hooks, grants };
    let signature = Signature::make(manifest, &key)
        .map_err(|error| Failure::Extension(format!("the manifest {error}; name another")))?;
    let out = signature_of(component);
    write(&out, &signature.text())?;
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    let claim = signature.claim();
    say(&format!(
        "Signed {} as \"{}\" with {}, in {}.\nhooks: {}\nasks for: {}",
        component.display(),
        claim.name,
        signature.key(),
        out.display(),
        list(&claim.hooks),
        if claim.grants.is_empty() { "nothing".to_owned() } else { list(&claim.grants) },
    ))
}

/// What a component is, by an engine of its own.
pub(super) fn examine(name: &str, component: &[u8]) -> Result<Facts, Failure> {
    let host = Host::new(EngineSettings::default())
        .map_err(|error| Failure::Extension(error.to_string()))?;
    host.examine(name, component).map_err(|error| Failure::Extension(error.to_string()))
}

/// A file's name without `.wasm`.
pub(super) fn stem(component: &Path) -> String {
    component.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn read_key(path: &Path) -> Result<SigningKey, Failure> {
    let mode = fs::metadata(path).map_err(Failure::file("read", path))?.mode();
    if mode & OTHERS != 0 {
        return Err(Failure::Extension(format!(
            "{} has mode {:o}, so others may sign with it; take their rights away: chmod 600",
            path.display(),
            mode & 0o777
        )));
    }
    let pem = fs::read_to_string(path).map_err(Failure::file("read", path))?;
    SigningKey::from_pem(&pem)
        .map_err(|error| Failure::Extension(format!("{} {error}", path.display())))
}

/// Whole or not at all: a gateway may read it meanwhile.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let aside = path.with_extension("sig.new");
    let written = fs::write(&aside, text)
        .and_then(|()| File::open(&aside)?.sync_all())
        .and_then(|()| fs::rename(&aside, path));
    written.map_err(Failure::file("write", path))
}
