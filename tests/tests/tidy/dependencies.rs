//! Arrows point down only: which crate may know which.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::root;

/// Each crate, and those of ours that it may depend on, tests of its own included.
const OURS: &[(&str, &[&str])] = &[
    ("mqtt", &[]),
    ("session", &["mqtt"]),
    ("auth", &["mqtt"]),
    ("broker", &["auth", "mqtt", "session"]),
    ("warden", &[]),
    ("store", &["auth", "broker", "mqtt", "session"]),
    ("transport", &[]),
    ("extension-host", &["auth", "mqtt"]),
    ("admin", &[]),
    ("connections", &[]),
    ("config", &["auth", "bridge", "mqtt"]),
    ("telemetry", &[]),
    ("workbench", &["auth", "config", "connections", "extension-host", "mqtt"]),
    ("bridge", &["mqtt", "session"]),
    (
        "gateway",
        &[
            "admin",
            "auth",
            "bridge",
            "broker",
            "config",
            "connections",
            "extension-host",
            "mqtt",
            "session",
            "store",
            "telemetry",
            "transport",
            "warden",
            "workbench",
        ],
    ),
    ("simulation", &["auth", "broker", "mqtt"]),
    ("attacks", &["mqtt", "tests"]),
    ("durability", &["broker", "mqtt", "store", "tests"]),
    ("languages", &["auth", "extension-host", "mqtt"]),
    ("torture", &["mqtt", "tests"]),
    ("xtask", &[]),
    (
        "tests",
        &[
            "auth",
            "broker",
            "config",
            "extension-host",
            "mqtt",
            "session",
            "simulation",
            "store",
            "telemetry",
            "transport",
            "workbench",
        ],
    ),
];

/// What only tests look up to: scripts drive the broker in the world of the simulation.
const TESTED_WITH: &[(&str, &str)] = &[("broker", "simulation")];

/// The pure crates, and what of others' they may be built on.
const OUTSIDE_OF_PURE: &[(&str, &[&str])] = &[
    ("mqtt", &[]),
    ("session", &[]),
    ("bridge", &["miniz_oxide"]),
    (
        "auth",
        &[
            "argon2",
            "base64ct",
            "foldhash",
            "jsonwebtoken",
            "ring",
            "serde",
            "serde_json",
            "subtle",
        ],
    ),
    ("broker", &["foldhash", "slab"]),
    ("warden", &[]),
];

/// The technologies that have one home each.
const HOMES: &[(&str, &[&str])] = &[
    ("sled", &["store"]),
    ("wasmtime", &["extension-host"]),
    ("rustls", &["attacks", "connections", "transport", "tests"]),
    ("tokio-rustls", &["transport", "tests"]),
    ("ureq", &["connections"]),
    ("httparse", &["transport"]),
    ("hyper", &["admin"]),
    ("hyper-util", &["admin"]),
    ("http-body-util", &["admin"]),
    ("quinn", &["transport", "tests"]),
    ("rcgen", &["transport"]),
    ("sd-listen-fds", &["transport"]),
    ("sd-notify", &["gateway"]),
    ("cap", &["gateway"]),
    ("socket2", &["transport"]),
    ("x509-parser", &["transport"]),
    ("tracing-subscriber", &["telemetry"]),
    ("miniz_oxide", &["bridge"]),
    ("argon2", &["auth"]),
    ("jsonwebtoken", &["auth"]),
    ("toml", &["config"]),
];

#[test]
fn arrows_point_down() {
    let allowed: BTreeMap<_, _> = OURS.iter().copied().collect();
    let mut wrong = Vec::new();
    for dependency in dependencies() {
        let Some(to) = ours(&dependency.to) else { continue };
        match allowed.get(dependency.from.as_str()) {
            None => wrong.push(format!("{} is in no line of the rule", dependency.from)),
            Some(_) if !dependency.ships && TESTED_WITH.contains(&(&dependency.from, &to)) => {}
            Some(below) if !below.contains(&to.as_str()) => {
                wrong.push(format!("{} must not know {to}", dependency.from));
            }
            Some(_) => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows point down only: gateway -> adapters -> broker, auth -> session -> mqtt; adapters never name \
         each other: {wrong:#?}"
    );
}

#[test]
fn pure_crates_are_built_on_little() {
    let allowed: BTreeMap<_, _> = OUTSIDE_OF_PURE.iter().copied().collect();
    let wrong: Vec<_> = dependencies()
        .into_iter()
        .filter(|dependency| dependency.ships && ours(&dependency.to).is_none())
        .filter(|dependency| {
            allowed
                .get(dependency.from.as_str())
                .is_some_and(|names| !names.contains(&dependency.to.as_str()))
        })
        .map(|dependency| format!("{} -> {}", dependency.from, dependency.to))
        .collect();
    assert!(
        wrong.is_empty(),
        "a pure crate knows no tokio, IO, clock or randomness, and little else of others: {wrong:#?}"
    );
}

#[test]
fn each_technology_has_one_home() {
    let homes: BTreeMap<_, _> = HOMES.iter().copied().collect();
    let wrong: Vec<_> = dependencies()
        .into_iter()
        .filter(|dependency| {
            homes
                .get(dependency.to.as_str())
                .is_some_and(|homes| !homes.contains(&dependency.from.as_str()))
        })
        .map(|dependency| format!("{} -> {}", dependency.from, dependency.to))
        .collect();
    assert!(wrong.is_empty(), "an outside technology has exactly one home crate: {wrong:#?}");
}

#[test]
fn every_manifest_inherits_what_is_common() {
    for package in packages() {
        let name = package["name"].as_str().unwrap_or_default();
        assert_eq!(package["license"], "MIT OR Apache-2.0", "licence of {name}");
        assert_eq!(package["edition"], "2024", "edition of {name}");
        assert!(package["rust_version"].is_string(), "{name} states no rust-version");
        assert!(package["description"].is_string(), "{name} says not what it is");
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let text = std::fs::read_to_string(manifest).expect("a manifest is readable");
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{manifest} does not inherit the lints"
        );
    }
}

struct Dependency {
    /// Short name of the crate of ours.
    from: String,
    /// Package that it depends on.
    to: String,
    /// Whether it is part of what is shipped: not only for tests and benchmarks.
    ships: bool,
}

fn dependencies() -> Vec<Dependency> {
    let mut found = Vec::new();
    for package in packages() {
        let from = package["name"].as_str().and_then(ours).expect("a package of ours has our name");
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            found.push(Dependency {
                from: from.clone(),
                to: dependency["name"].as_str().unwrap_or_default().to_owned(),
                ships: dependency["kind"] != "dev",
            });
        }
    }
    assert!(!found.is_empty(), "the tree has dependencies");
    found
}

fn packages() -> Vec<Value> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo metadata starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).expect("cargo metadata writes JSON");
    metadata["packages"].as_array().expect("there are packages").clone()
}

/// `portcullis-mqtt` is `mqtt`, `portcullis` is `gateway`; none for others' packages.
fn ours(package: &str) -> Option<String> {
    match package.strip_prefix("portcullis")? {
        "" => Some("gateway".to_owned()),
        rest => rest.strip_prefix('-').map(str::to_owned),
    }
}
