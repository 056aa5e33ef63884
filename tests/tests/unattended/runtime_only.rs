//! The gateway without a compiler, for the smallest boards: it runs what was compiled elsewhere, and nothing else.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mqtt::ReasonCode;
use portcullis_tests::{Gateway, PATIENCE, Site, omit};

use crate::brought::{compile, files, whence};

/// Names the build that is tested. `cargo xtask test` makes it.
const PROGRAM: &str = "PORTCULLIS_RUNTIME_ONLY";

fn program() -> Option<PathBuf> {
    let program = env::var_os(PROGRAM).map(PathBuf::from);
    if program.is_none() {
        let why = format!("{PROGRAM} names none; `cargo xtask test` builds it");
        omit("a gateway without a compiler", &why);
    }
    program
}

#[test]
fn it_serves_with_code_that_was_brought_and_says_what_is_missing() {
    let Some(program) = program() else { return };
    let site = Site::new();
    let key = compile(&site, "code.key", &[]);
    site.configure(&format!("[compiler]\ncode-dir = \"code\"\ncode-keys = [\"{key}\"]\n"));
    let mut gateway = Gateway::launch_build(&site, &program).listening_in_time(2);
    assert_eq!(whence(&gateway), ["brought", "brought"]);
    let mut client = gateway.client("pump");
    let nobody = ReasonCode::NoMatchingSubscribers;
    assert_eq!(client.publish_and_wait("demo/x", b"1", false), nobody);
    assert_eq!(client.publish_and_wait("elsewhere", b"1", false), ReasonCode::NotAuthorized);
    gateway.assert_sound();
    gateway.stop();

    // What was not brought is not made.
    let code = &files(&site)[0];
    fs::remove_file(code).expect("code is removed");
    let mut gateway = Gateway::launch_build(&site, &program);
    assert_eq!(gateway.ended().code(), Some(1));
    let name = code.file_name().expect("a name").to_string_lossy();
    for words in ["this build has no compiler", &*name, "portcullis extension compile"] {
        assert!(gateway.log.wait_for_words(words, PATIENCE), "{words}:\n{}", gateway.log.text());
    }
}

/// Commands that need a compiler say so, and those that do not work.
#[test]
fn its_commands_know_what_they_lack() {
    let Some(program) = program() else { return };
    let site = Site::new();
    let config = site.config().display().to_string();
    let run =
        |words: &[&str]| Command::new(&program).args(words).output().expect("the program starts");
    let out = run(&["extension", "compile", "--config", &config]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && said.contains("this build has no compiler"), "{said}");
    // Nobody is told of commands that will be refused.
    for words in [&["help"][..], &["extension", "help"], &["extension", "compiled"]] {
        let out = run(words);
        let said = [out.stdout, out.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("keygen"), "{words:?}: {said}");
        for refused in ["bench", "extension compile", "\"compile\"", "|compile"] {
            assert!(!said.contains(refused), "{words:?}: {refused:?} in {said}");
        }
    }
    // Looking at a configuration finds what a start would.
    let out = run(&["check", "--config", &config]);
    let said = String::from_utf8_lossy(&out.stderr);
    for extension in ["acl", "password"] {
        let words = format!("extension \"{extension}\": this build has no compiler");
        assert!(!out.status.success() && said.contains(&words), "{said}");
    }
}
