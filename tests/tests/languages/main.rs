//! The example extension of `examples/extensions`, in each language that it is written in: the same table of cases, the same answers and
//! the same words in the log.
//!
//! `cargo xtask examples` builds the components. Where a toolchain cannot be had it says so in the place of the component, and so does
//! the test.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot be set up has failed, and one that is left out says so"
)]

mod cases;
mod events;
#[path = "../tokens/issuer.rs"]
#[allow(dead_code, reason = "not everything is needed here")]
mod issuer;
#[path = "../../../gateway/crates/auth/tests/jwt/keys.rs"]
#[allow(dead_code, reason = "one key is enough here")]
mod keys;
mod scene;

use std::env;
use std::fs;
use std::path::PathBuf;

use portcullis_tests::{omit, program};
use scene::Scene;

/// Where the components are, if not in `target/languages`.
const LANGUAGES: &str = "PORTCULLIS_LANGUAGES";

#[test]
fn rust() {
    check("rust", &[]);
}

#[test]
fn go() {
    check("go", &[]);
}

#[test]
fn javascript() {
    check("javascript", &[]);
}

#[test]
fn python() {
    check("python", &["random"]);
}

#[test]
fn c() {
    check("c", &[]);
}

/// Everything, on one gateway: a component with a run-time inside takes long to load.
fn check(language: &str, grants: &[&str]) {
    let Some(component) = component(language) else { return };
    let scene = Scene::new(&component, grants);
    let mut gateway = scene.start();
    let cases = cases::all();
    for (number, case) in cases.iter().enumerate() {
        scene.plays(&gateway, case, number);
    }
    let events = events::all();
    for (what, happens) in &events {
        println!("{language}: {what}");
        happens(&scene, &gateway);
    }
    println!("{language}: {} cases and {} events", cases.len(), events.len());
    let counters = gateway.counters();
    for failure in ["traps", "deadline_exceeded", "memory_refused", "invalid_answers"] {
        assert_eq!(counters.of_extension("tenants", failure), 0, "{failure}");
    }
    gateway.assert_sound();
}

/// The component, if it is not one that cannot be built here.
fn component(language: &str) -> Option<PathBuf> {
    let usual = || program().target.join("languages");
    let folder = env::var_os(LANGUAGES).map_or_else(usual, PathBuf::from);
    let path = folder.join(language).with_extension("wasm");
    if let Ok(why) = fs::read_to_string(path.with_extension("skipped")) {
        omit(language, &format!("its toolchain cannot be had: {why}"));
        return None;
    }
    assert!(path.is_file(), "{} is missing; run: cargo xtask examples {language}", path.display());
    Some(path)
}
