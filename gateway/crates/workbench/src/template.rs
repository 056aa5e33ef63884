//! The files that an author begins with.

use config::Language;

/// What the templates call the extension, and its type in Rust.
const NAME: &str = "my-extension";
const TYPE: &str = "MyExtension";

/// A file of a new project.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Below the project's folder.
    pub(crate) path: &'static str,
    pub(crate) text: String,
}

type Raw = (&'static str, &'static str);

macro_rules! file {
    ($path:literal, $from:literal) => {
        ($path, include_str!(concat!("../templates/", $from)))
    };
}

/// A file of the SDK, where the template in Rust looks for it.
macro_rules! sdk {
    ($name:literal) => {
        (
            concat!("vendor/portcullis-extension/src/", $name),
            include_str!(concat!("../../../../extensions/sdk/src/", $name)),
        )
    };
}

const FIXTURE: Raw = file!("fixtures/site.toml", "shared/fixtures/site.toml");
const GATEWAY_WIT: &str = include_str!("../../../../wit/gateway.wit");
const HOST_WIT: &str = include_str!("../../../../wit/deps/portcullis-host/host.wit");

const RUST: &[Raw] = &[
    file!("extension.toml", "rust/extension.toml"),
    file!("Cargo.toml", "rust/Cargo.toml"),
    file!("src/lib.rs", "rust/src/lib.rs"),
    file!("tests/fixtures.rs", "rust/tests/fixtures.rs"),
    file!(".gitignore", "rust/gitignore"),
];

/// The SDK is not in the crate registry, so it comes with the project, beside the contract that it binds.
const SDK: &[Raw] = &[
    file!("vendor/portcullis-extension/Cargo.toml", "rust/vendor/portcullis-extension/Cargo.toml"),
    sdk!("bindings.rs"),
    sdk!("broker.rs"),
    sdk!("bulk.rs"),
    sdk!("cache.rs"),
    sdk!("clock.rs"),
    sdk!("config.rs"),
    sdk!("enhanced.rs"),
    sdk!("extension.rs"),
    sdk!("grant.rs"),
    sdk!("http.rs"),
    sdk!("interception.rs"),
    sdk!("key_value.rs"),
    sdk!("lib.rs"),
    sdk!("log.rs"),
    sdk!("metrics.rs"),
    sdk!("observation.rs"),
    sdk!("random.rs"),
    sdk!("reason.rs"),
    sdk!("register.rs"),
    sdk!("token.rs"),
    sdk!("verdict.rs"),
    ("wit/gateway.wit", GATEWAY_WIT),
    ("wit/deps/portcullis-host/host.wit", HOST_WIT),
];

/// A file of the package that speaks the contract, which the example in Go is built on too.
macro_rules! go_package {
    ($name:literal) => {
        (
            concat!("portcullis/", $name),
            include_str!(concat!("../../../../examples/extensions/go/portcullis/", $name)),
        )
    };
}

const GO: &[Raw] = &[
    file!("extension.toml", "go/extension.toml"),
    file!("go.mod", "go/go.mod"),
    file!("main.go", "go/main.go"),
    file!(".gitignore", "go/gitignore"),
];

const GO_PACKAGE: &[Raw] = &[
    go_package!("contract.go"),
    go_package!("hooks.go"),
    go_package!("host.go"),
    go_package!("memory.go"),
    CONTRACT[0],
    CONTRACT[1],
];

const C: &[Raw] = &[
    file!("extension.toml", "c/extension.toml"),
    file!("extension.c", "c/extension.c"),
    file!(".gitignore", "c/gitignore"),
];

const JAVASCRIPT: &[Raw] = &[
    file!("extension.toml", "javascript/extension.toml"),
    file!("package.json", "javascript/package.json"),
    file!("extension.js", "javascript/extension.js"),
    file!(".gitignore", "javascript/gitignore"),
];

const PYTHON: &[Raw] = &[
    file!("extension.toml", "python/extension.toml"),
    file!("requirements.txt", "python/requirements.txt"),
    file!("extension.py", "python/extension.py"),
    file!(".gitignore", "python/gitignore"),
];

/// A world of the project's own, beside the contract.
const WORLD: Raw = file!("wit/world.wit", "shared/wit/world.wit");
const CONTRACT: &[Raw] = &[
    ("wit/deps/portcullis-gateway/gateway.wit", GATEWAY_WIT),
    ("wit/deps/portcullis-host/host.wit", HOST_WIT),
];

/// What the fixture grants, and what it grants where an interpreter asks for more when it starts.
const GRANTS: &str = "grants = [\"config\", \"credentials\", \"log\"]";
const GRANTS_OF_PYTHON: &str = "# The interpreter draws random numbers when it starts, and is large.\n\
    grants = [\"config\", \"credentials\", \"log\", \"random\"]\nmemory = \"64 MiB\"";

/// The files of a new extension in a language.
pub(crate) fn files(language: Language, name: &str) -> Vec<File> {
    let (own, with): (&[Raw], &[Raw]) = match language {
        Language::Rust => (RUST, SDK),
        Language::Go => (GO, GO_PACKAGE),
        Language::C => (C, CONTRACT),
        Language::JavaScript => (JAVASCRIPT, CONTRACT),
        Language::Python => (PYTHON, CONTRACT),
    };
    let world = (language != Language::Rust).then_some(&WORLD);
    let named = own.iter().chain(world).chain([&FIXTURE]).map(|(path, text)| {
        let text = text.replace(NAME, name).replace(TYPE, &in_camel_case(name));
        let text = match language {
            Language::Python => text.replace(GRANTS, GRANTS_OF_PYTHON),
            _ => text,
        };
        File { path, text }
    });
    let as_is = with.iter().map(|(path, text)| File { path, text: (*text).to_owned() });
    named.chain(as_is).collect()
}

fn in_camel_case(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| {
            format!("{}{}", first.to_ascii_uppercase(), letters.as_str())
        })
    };
    name.split('-').map(capital).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
    }

    #[test]
    fn the_whole_sdk_comes_with_a_project() {
        let read = fs::read_dir(root().join("extensions/sdk/src")).unwrap();
        let there: BTreeSet<_> =
            read.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let folder = "vendor/portcullis-extension/src/";
        let comes = SDK.iter().filter_map(|(path, _)| path.strip_prefix(folder));
        assert_eq!(comes.map(str::to_owned).collect::<BTreeSet<_>>(), there);
    }

    #[test]
    fn the_whole_package_comes_with_a_project_in_go() {
        let read = fs::read_dir(root().join("examples/extensions/go/portcullis")).unwrap();
        let there: BTreeSet<_> =
            read.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let comes = GO_PACKAGE.iter().filter_map(|(path, _)| path.strip_prefix("portcullis/"));
        assert_eq!(comes.map(str::to_owned).collect::<BTreeSet<_>>(), there);
        let version =
            |text: &str| text.lines().find(|line| line.starts_with("go ")).map(str::to_owned);
        let ours = fs::read_to_string(root().join("examples/extensions/go/go.mod")).unwrap();
        assert_eq!(version(GO[1].1), version(&ours));
    }

    #[test]
    fn the_sdk_of_a_project_is_built_as_ours_is() {
        let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
        let (ours, theirs) = (read("extensions/sdk/Cargo.toml"), SDK[0].1);
        let features = |text: &str| {
            let (_, text) = text.split_once("[features]\n").unwrap();
            text.split_once("\n[dependencies]").unwrap().0.to_owned()
        };
        assert_eq!(features(theirs), features(&ours));
        let workspace = read("extensions/Cargo.toml");
        let line = |text: &str| {
            text.lines().find(|line| line.starts_with("wit-bindgen = ")).unwrap().to_owned()
        };
        assert_eq!(line(theirs), line(&workspace));
    }

    #[test]
    fn a_project_has_its_own_name_everywhere() {
        for language in Language::ALL {
            let files = files(language, "tank-farm");
            let all: String = files.iter().map(|file| file.text.as_str()).collect();
            assert!(!all.contains(NAME) && !all.contains(TYPE), "{language:?}");
            assert!(all.contains("tank-farm"), "{language:?}");
            assert_eq!(all.contains("\"random\"]"), language == Language::Python);
        }
        assert_eq!(in_camel_case("tank-farm-2"), "TankFarm2");
    }
}
