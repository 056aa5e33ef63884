//! `cargo xtask test`: everything that is tested, with everything that it needs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::command::{cargo, output, run as run_program, watch};
use crate::failure::Failure;
use crate::packages::{self, Package};
use crate::{extensions, root::Root};

/// Real clients and a real broker to test against.
const PACKAGES: [Package; 3] = [
    Package { name: "mosquitto", brings: "mosquitto" },
    Package { name: "mosquitto-clients", brings: "mosquitto_sub" },
    Package { name: "python3", brings: "python3" },
];

/// Python packages of the interoperability tests.
const PYTHON: [&str; 1] = ["paho-mqtt==2.1.0"];

/// Where the tests find the components, and a Python that has the packages.
const EXTENSIONS: &str = "PORTCULLIS_EXTENSIONS";
const INTERPRETER: &str = "PORTCULLIS_PYTHON";

/// Runs all tests; `arguments` go to `cargo test` of the gateway's workspace.
pub(crate) fn run(root: &Root, arguments: &[&str]) -> Result<(), Failure> {
    let begin = Instant::now();
    packages::ensure(&PACKAGES, "interoperability tests")?;
    let python = python(root)?;
    let components = extensions::build(root)?;

    let mut tally = Tally::default();
    let mut gateway = cargo();
    gateway.current_dir(root.path()).args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    gateway.args(arguments).env(EXTENSIONS, components).env(INTERPRETER, python);
    let gateway_passed = watch(&mut gateway, |line| tally.add(line))?;

    let mut guests = cargo();
    guests.current_dir(root.join("extensions")).args([
        "test",
        "--workspace",
        "--locked",
        "--no-fail-fast",
    ]);
    guests
        .args(["--features", "portcullis-extension/authenticator,portcullis-extension/authorizer"])
        .args(["--features", "portcullis-extension/enhanced-authenticator"]);
    guests.arg("--target-dir").arg(root.target("guest"));
    let guests_passed = watch(&mut guests, |line| tally.add(line))?;

    println!("{} s", begin.elapsed().as_secs());
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if gateway_passed && guests_passed {
        Ok(())
    } else {
        Err(Failure::Other("tests failed, or did not build; see above".to_owned()))
    }
}

/// A Python with the packages of the tests, apart from the system's.
fn python(root: &Root) -> Result<PathBuf, Failure> {
    let folder = root.target("venv");
    let python = folder.join("bin/python");
    let stamp = folder.join("packages.stamp");
    let wanted = PYTHON.join("\n");
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    // Debian's python3 comes without the part that gives a new environment its pip.
    if output(Command::new("python3").args(["-c", "import ensurepip"])).is_err() {
        packages::ensure(
            &[Package { name: "python3-venv", brings: "/usr/share/doc/python3-venv" }],
            "interoperability tests",
        )?;
    }
    eprintln!("installing into {}: {}", folder.display(), PYTHON.join(" "));
    run_program(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run_program(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PYTHON))?;
    fs::write(&stamp, wanted).map_err(Failure::file("write", &stamp))?;
    Ok(python)
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
