use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Names a gateway to test instead of the one that is built: of another profile, or for another machine.
const OVERRIDE: &str = "PORTCULLIS_PROGRAM";

/// Where the components are, if not in `target/extensions`.
const EXTENSIONS: &str = "PORTCULLIS_EXTENSIONS";

/// What a test finds ready on disk.
#[derive(Debug)]
pub struct Program {
    /// The gateway.
    pub portcullis: PathBuf,
    /// Folder with the extensions, such as `password.wasm`.
    pub extensions: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
}

/// The gateway under test. The first call in a process builds it, in the profile of the test itself,
/// so that what is tested is what the sources say.
pub fn program() -> &'static Program {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = target();
        let extensions =
            env::var_os(EXTENSIONS).map_or_else(|| target.join("extensions"), PathBuf::from);
        for name in ["password.wasm", "acl.wasm", "jwt.wasm", "x509.wasm", "probe.wasm"] {
            let path = extensions.join(name);
            assert!(path.is_file(), "{} is missing; run: cargo xtask extensions", path.display());
        }
        let portcullis = env::var_os(OVERRIDE).map_or_else(build, PathBuf::from);
        Program { portcullis, extensions, target }
    })
}

/// Cargo marks its target folder.
fn target() -> PathBuf {
    let exe = env::current_exe().expect("a test knows where it is");
    let marked = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file();
    exe.ancestors().find(marked).expect("a test is below cargo's target folder").to_path_buf()
}

/// Asks for the whole workspace with a test in it, because then cargo settles on the same features of the
/// dependencies as `cargo test --workspace`, and finds them built.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--workspace", "--bin", "portcullis", "--test", "tidy"]);
    cargo.args(["--message-format", "json-render-diagnostics", "--quiet"]);
    match profile().as_str() {
        "debug" => {}
        other => {
            cargo.args(["--profile", other]);
        }
    }
    // Variables that cargo sets for this test would look like changes to build scripts.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|it| text.starts_with(it)) {
            cargo.env_remove(&name);
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository");
    let out = cargo
        .current_dir(root)
        .env("CARGO_TARGET_DIR", target())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(out.status.success(), "the gateway does not build; see above");
    let text = String::from_utf8_lossy(&out.stdout);
    text.lines().find_map(executable).expect("cargo says where the gateway is")
}

/// The path in cargo's message about the gateway itself.
fn executable(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let of_gateway =
        message["target"]["name"] == "portcullis" && message["target"]["kind"][0] == "bin";
    of_gateway.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
}

/// The profile's folder: tests are in `deps` below it.
fn profile() -> String {
    let exe = env::current_exe().expect("a test knows where it is");
    let folder = exe.ancestors().nth(2).and_then(Path::file_name);
    folder.expect("a test is in a profile's folder").to_string_lossy().into_owned()
}
