//! `cargo xtask examples`: the example extension as a component, in each language that it is written in.

mod c;
mod contract;
mod go;
mod javascript;
mod python;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::command::{cargo, run as run_program};
use crate::component::Component;
use crate::failure::Failure;
use crate::{inputs, packages, root::Root};

/// Where it is, in a folder for each language.
const SOURCES: &str = "examples/extensions";
/// Where the components are made, below the target folder.
const FOLDER: &str = "languages";
/// What it exports and imports: the world in `examples/extensions/wit`.
const WORLD: &str = "tenants";

/// Where the tests find the components.
pub(crate) const LANGUAGES: &str = "PORTCULLIS_LANGUAGES";

/// How all are built is an input of each.
const RECIPE: [&str; 3] = [
    include_str!("examples.rs"),
    include_str!("examples/contract.rs"),
    include_str!("component.rs"),
];

/// A language and what it takes to build for Wasm from it.
struct Language {
    /// Of its folder, and of the component.
    name: &'static str,
    /// How it is built, toolchain and versions included.
    recipe: &'static str,
    /// What it is made of besides its folder and the contract.
    more: &'static [&'static str],
    /// Finds its toolchain and installs what is missing.
    install: fn(&Root) -> Result<(), Failure>,
    build: fn(&Workshop<'_>) -> Result<Component, Failure>,
}

static ALL: [Language; 5] = [
    Language {
        name: "rust",
        recipe: include_str!("examples/rust.rs"),
        more: &["extensions/sdk"],
        install: rust::install,
        build: rust::build,
    },
    Language {
        name: "go",
        recipe: include_str!("examples/go.rs"),
        more: &[],
        install: go::install,
        build: go::build,
    },
    Language {
        name: "javascript",
        recipe: include_str!("examples/javascript.rs"),
        more: &[],
        install: javascript::install,
        build: javascript::build,
    },
    Language {
        name: "python",
        recipe: include_str!("examples/python.rs"),
        more: &[],
        install: python::install,
        build: python::build,
    },
    Language {
        name: "c",
        recipe: include_str!("examples/c.rs"),
        more: &[],
        install: c::install,
        build: c::build,
    },
];

/// What a language builds with.
struct Workshop<'a> {
    root: &'a Root,
    /// Its sources.
    sources: PathBuf,
    /// The folder with the world and, in `deps`, the contract.
    wit: PathBuf,
    /// For what it makes on the way.
    scratch: PathBuf,
}

/// Builds in the languages that `words` name, or in all; with `--measure` tells what each costs.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    let (options, names): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.starts_with("--"));
    let named =
        |name: &str| ALL.iter().find(|language| language.name == name).ok_or_else(|| unknown(name));
    let chosen = match names[..] {
        [] => ALL.iter().collect(),
        _ => names.into_iter().map(named).collect::<Result<Vec<_>, _>>()?,
    };
    for language in &chosen {
        (language.install)(root)?;
        make(root, language)?;
    }
    match options[..] {
        [] => Ok(()),
        ["--measure"] => measure(root, &chosen),
        _ => Err(Failure::Usage(format!(
            "usage: cargo xtask examples [LANGUAGE]... [--measure]; the languages are {}",
            list()
        ))),
    }
}

fn unknown(name: &str) -> Failure {
    Failure::Usage(format!("`{name}` is none of the languages: {}", list()))
}

fn list() -> String {
    ALL.iter().map(|language| language.name).collect::<Vec<_>>().join(", ")
}

/// Builds in all languages whose toolchain can be had; gives the folder with the components.
pub(crate) fn ensure(root: &Root) -> Result<PathBuf, Failure> {
    contract::assemble(root)?;
    // Side by side: some wait for the network while others compile.
    thread::scope(|scope| {
        let workers: Vec<_> =
            ALL.iter().map(|language| scope.spawn(move || ensure_one(root, language))).collect();
        let outcomes: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        outcomes.into_iter().try_for_each(|outcome| {
            outcome
                .unwrap_or_else(|_| Err(Failure::Other("building an example panicked".to_owned())))
        })
    })?;
    Ok(root.target(FOLDER))
}

/// Where there is no apt a toolchain may be out of reach: then a file says so in the place of the component.
fn ensure_one(root: &Root, language: &Language) -> Result<(), Failure> {
    let skipped = component(root, language).with_extension("skipped");
    match (language.install)(root) {
        Err(failure) if !packages::has_apt() => {
            println!("{} is left out: {failure}", language.name);
            return write(&skipped, failure.to_string());
        }
        installed => installed?,
    }
    if skipped.exists() {
        fs::remove_file(&skipped).map_err(Failure::file("remove", &skipped))?;
    }
    make(root, language)
}

fn component(root: &Root, language: &Language) -> PathBuf {
    root.target(FOLDER).join(language.name).with_extension("wasm")
}

/// Builds, if anything has changed.
fn make(root: &Root, language: &Language) -> Result<(), Failure> {
    let path = component(root, language);
    let stamp = path.with_extension("stamp");
    let own = format!("{SOURCES}/{}", language.name);
    let world = format!("{SOURCES}/wit");
    let folders = [&[&*own, &*world, "wit"], language.more].concat();
    let recipe = [&RECIPE[..], &[language.recipe]].concat();
    let inputs = inputs::fingerprint(root, &folders, &recipe)?;
    if path.is_file() && fs::read_to_string(&stamp).is_ok_and(|known| known == inputs) {
        println!("{} is up to date", path.display());
        return Ok(());
    }
    let began = Instant::now();
    let scratch = root.target(FOLDER).join("build").join(language.name);
    fs::create_dir_all(&scratch).map_err(Failure::file("create", &scratch))?;
    let wit = contract::assemble(root)?;
    let workshop = Workshop { root, sources: root.join(&own), wit, scratch };
    let built = (language.build)(&workshop)?;
    write(&path, &built.bytes)?;
    println!(
        "{}: {:.1} KiB in {:.0} s, asks for {}{}",
        path.display(),
        built.bytes.len() as f64 / 1024.0,
        began.elapsed().as_secs_f64(),
        built.capabilities.join(", "),
        if built.has_wasi { " and imports WASI" } else { "" }
    );
    write(&stamp, inputs)
}

/// Tells what each component costs the gateway, all in one run. The program is built together with the gateway, so that what it
/// measures is what the gateway is made of.
fn measure(root: &Root, languages: &[&Language]) -> Result<(), Failure> {
    let mut build = cargo();
    build.current_dir(root.path()).args(["build", "--locked", "--release"]);
    run_program(build.args(["--package", "portcullis", "--package", "portcullis-languages"]))?;
    let names = languages.iter().map(|language| language.name);
    run_program(
        Command::new(root.target("release/portcullis-languages"))
            .arg(root.target(FOLDER))
            .args(names),
    )
}

fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    }
    fs::write(path, contents).map_err(Failure::file("write", path))
}
