//! `cargo xtask test`: everything that is tested, with everything that it needs.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::command::{cargo, run as run_program, watch};
use crate::failure::Failure;
use crate::packages::{self, Package};
use crate::{examples, extensions, libraries, root::Root};

/// Real clients, a browser among them, real brokers and real proxies to test against, and what issues certificates
/// for clients.
const PACKAGES: [Package; 7] = [
    Package { name: "chromium", brings: "chromium" },
    Package { name: "microsocks", brings: "microsocks" },
    Package { name: "mosquitto", brings: "mosquitto" },
    Package { name: "mosquitto-clients", brings: "mosquitto_sub" },
    Package { name: "openssl", brings: "openssl" },
    Package { name: "rabbitmq-server", brings: "/usr/lib/rabbitmq/bin/rabbitmq-server" },
    Package { name: "tinyproxy-bin", brings: "tinyproxy" },
];

/// What looks at a process, tells it another time, and judges its unit.
const BOX: [Package; 3] = [
    Package { name: "faketime", brings: "faketime" },
    Package { name: "strace", brings: "strace" },
    Package { name: "systemd", brings: "systemd-analyze" },
];

/// Where the tests find the components.
pub(crate) const EXTENSIONS: &str = "PORTCULLIS_EXTENSIONS";

/// Where tests say what they have left out, and why.
const OMISSIONS: &str = "PORTCULLIS_OMISSIONS";

/// Where the tests find the gateway without a compiler.
const RUNTIME_ONLY: &str = "PORTCULLIS_RUNTIME_ONLY";

/// The features of the SDK, so that all of it is tested.
const HOOKS: [&str; 9] = [
    "authenticator",
    "enhanced-authenticator",
    "authorizer",
    "bulk-authorizer",
    "client-limits",
    "publish-interceptor",
    "delivery-interceptor",
    "observer",
    "reconfiguration",
];

/// Runs all tests; `arguments` go to `cargo test` of the gateway's workspace.
pub(crate) fn run(root: &Root, arguments: &[&str]) -> Result<(), Failure> {
    let begin = Instant::now();
    packages::ensure(&PACKAGES, "interoperability tests")?;
    packages::ensure(&BOX, "tests of a box that nobody looks after")?;
    let libraries = libraries::ensure(root)?;
    let components = extensions::build(root)?;
    let languages = examples::ensure(root)?;
    let runtime_only = runtime_only(root)?;

    let mut tally = Tally::default();
    let mut gateway = cargo();
    gateway.current_dir(root.path()).args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    gateway.args(arguments).env(EXTENSIONS, components).envs(libraries);
    let omissions = root.target("omissions.txt");
    forget(&omissions)?;
    gateway.env(examples::LANGUAGES, languages).env(OMISSIONS, &omissions);
    gateway.env(RUNTIME_ONLY, runtime_only);
    let gateway_passed = watch(&mut gateway, |line| tally.add(line))?;

    let mut guests = cargo();
    guests.current_dir(root.join("extensions")).args([
        "test",
        "--workspace",
        "--locked",
        "--no-fail-fast",
    ]);
    guests.args(
        HOOKS
            .iter()
            .flat_map(|hook| ["--features".to_owned(), format!("portcullis-extension/{hook}")]),
    );
    guests.arg("--target-dir").arg(root.target("guest"));
    let guests_passed = watch(&mut guests, |line| tally.add(line))?;

    print!("{}", fs::read_to_string(&omissions).unwrap_or_default());
    println!("{} s", begin.elapsed().as_secs());
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if gateway_passed && guests_passed {
        Ok(())
    } else {
        Err(Failure::Other("tests failed, or did not build; see above".to_owned()))
    }
}

/// Builds the gateway without a compiler, and keeps it where the build of the other one does not write to.
fn runtime_only(root: &Root) -> Result<PathBuf, Failure> {
    let mut build = cargo();
    build.current_dir(root.path()).args(["build", "--locked", "--package", "portcullis"]);
    run_program(build.arg("--no-default-features"))?;
    let (from, to) = (root.target("debug/portcullis"), root.target("runtime-only"));
    fs::copy(&from, &to).map_err(Failure::file("copy", &from))?;
    Ok(to)
}

/// Removes what an earlier run has said, if there is any.
fn forget(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Failure::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The sums of cargo's own result lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    fn add(&mut self, line: &str) {
        let Some((_, counts)) =
            line.strip_prefix("test result: ").and_then(|result| result.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_result_lines_are_counted() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 41 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s",
            "test codec::splits ... ok",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
            "9 passed; 9 failed",
        ] {
            tally.add(line);
        }
        assert_eq!(tally, Tally { passed: 43, failed: 3 });
    }
}
