//! `cargo xtask extensions`: the shipped extensions as components.

use std::fs;
use std::path::PathBuf;

use crate::command::run;
use crate::failure::Failure;
use crate::root::Root;
use crate::wasm_toolchain::{TARGET, WasmToolchain};
use crate::{component, inputs};

/// What is built: `extensions/NAME` becomes `target/extensions/NAME.wasm`.
pub(crate) const SHIPPED: [&str; 4] = ["password", "acl", "jwt", "x509"];

/// What only tests and benches load: `tests/guests/NAME` becomes `target/extensions/NAME.wasm`.
const FOR_TESTS: [&str; 4] = ["asked", "interceptor", "observer", "probe"];

/// The same guest without its default features, under another name: what is asked about each publish by itself.
const SINGLY: (&str, &str) = ("asked-singly", "asked");

/// What they are made of.
const FOLDERS: [&str; 3] = ["extensions", "tests/guests", "wit"];

/// How they are made is an input too.
const RECIPE: [&str; 4] = [
    include_str!("extensions.rs"),
    include_str!("component.rs"),
    include_str!("toolchain.rs"),
    include_str!("wasm_toolchain.rs"),
];

/// A guest's stack. The usual 1 MiB must be cleared for each new instance; the hooks use a few KiB.
pub(crate) const STACK_BYTES: u32 = 64 * 1024;

/// Builds each extension whose inputs changed and tells the size of all; gives the folder they are in.
pub(crate) fn build(root: &Root) -> Result<PathBuf, Failure> {
    let folder = root.target("extensions");
    fs::create_dir_all(&folder).map_err(Failure::file("create", &folder))?;
    let stamp = folder.join("inputs.stamp");
    let toolchain = WasmToolchain::find()?;
    let version = toolchain.version()?;
    let recipe = [&RECIPE[..], &[version.as_str()]].concat();
    let inputs = inputs::fingerprint(root, &FOLDERS, &recipe)?;
    let usual =
        SHIPPED.into_iter().chain(FOR_TESTS).map(|name| Build { name, of: name, features: true });
    let (name, of) = SINGLY;
    let builds: Vec<Build> = usual.chain([Build { name, of, features: false }]).collect();
    let path = |build: &Build| folder.join(format!("{}.wasm", build.name));
    let complete = builds.iter().all(|build| path(build).is_file());
    if complete && fs::read_to_string(&stamp).is_ok_and(|known| known == inputs) {
        println!("{} is up to date", folder.display());
        return Ok(folder);
    }
    for build in &builds {
        compile(root, &toolchain, build)?;
        let file = format!("release/portcullis_{}.wasm", build.of);
        let component = component::from_module(&root.target("guest").join(TARGET).join(file))?;
        let path = path(build);
        fs::write(&path, &component.bytes).map_err(Failure::file("write", &path))?;
        println!(
            "{}: {:.1} KiB, asks for {}",
            path.display(),
            component.bytes.len() as f64 / 1024.0,
            component.capabilities.join(", ")
        );
    }
    fs::write(&stamp, inputs).map_err(Failure::file("write", &stamp))?;
    Ok(folder)
}

/// One component.
struct Build {
    name: &'static str,
    /// Its package, without `portcullis-`.
    of: &'static str,
    /// Whether that has its default features.
    features: bool,
}

fn compile(root: &Root, toolchain: &WasmToolchain, build: &Build) -> Result<(), Failure> {
    let without: &[&str] = if build.features { &[] } else { &["--no-default-features"] };
    // One package at a time: the features of the SDK say which hooks a component exports, and
    // cargo would join those of all packages that it builds together.
    run(toolchain
        .cargo("rustc")
        .args(["--locked", "--release", "--package", &format!("portcullis-{}", build.of)])
        .args(without)
        .arg("--manifest-path")
        .arg(root.join("extensions/Cargo.toml"))
        .arg("--target-dir")
        .arg(root.target("guest"))
        .args(["--", "-C", &format!("link-arg=-zstack-size={STACK_BYTES}")]))
}
