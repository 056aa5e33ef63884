//! `cargo xtask deb-check`: the package from installation to purge, with queues that are full. In a file system of its own over this
//! one (an overlay in memory), so that nothing of this machine changes. Needs root.

mod guest;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::run as run_program;
use crate::dist::build::{self as dist, Build};
use crate::failure::Failure;
use crate::options::Options;
use crate::packages::{self, Package};
use crate::root::Root;

use super::make;
use super::order::Order;
use guest::Guest;

const USAGE: &str = "usage: cargo xtask deb-check [--binary PATH] (as root)";

/// What is needed in the file system, which is that of this machine.
const NEEDED: [Package; 3] = [
    Package { name: "adduser", brings: "adduser" },
    Package { name: "mosquitto-clients", brings: "mosquitto_pub" },
    Package { name: "util-linux", brings: "unshare" },
];

/// How this program is told that it is inside.
const INSIDE: &str = "PORTCULLIS_DEB_CHECK";

/// The version before, and messages that wait for somebody who is away.
const BEFORE: &str = "0.0.9";
const MESSAGES: u32 = 2_000;

/// What belongs to the gateway on a machine.
const STATE: [&str; 3] =
    ["var/lib/portcullis/store", "etc/portcullis/users.txt", "etc/portcullis/pki/ca.key"];

/// Builds an older and a newer package, and leads them through their lives.
pub(crate) fn run(root: &Root, words: &[&str]) -> Result<(), Failure> {
    if env::var_os(INSIDE).is_some() {
        return inside(words);
    }
    let options = Options::parse(words, &["--binary"], USAGE)?;
    packages::ensure(&super::TOOLS, "a Debian package")?;
    packages::ensure(&NEEDED, "the check of a Debian package")?;
    let binary = match options.text("--binary") {
        Some(path) => PathBuf::from(path),
        None => dist::gateway(root, Build::for_this_machine()?)?.program,
    };
    // Not where those lie that are given to others.
    let out = root.target("deb/check");
    let mut built = Vec::new();
    for version in [BEFORE, env!("CARGO_PKG_VERSION")] {
        let order = Order::of(root, binary.clone(), None, None, version)?;
        built.push(make(root, &order, &out)?);
    }
    let own = env::current_exe()
        .map_err(|error| Failure::Start { command: "xtask".to_owned(), error })?;
    // Mounts and processes end with it.
    run_program(
        Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg(own)
            .arg("deb-check")
            .args(built)
            .env(INSIDE, "1"),
    )
}

/// Packages by their versions, the older first.
fn inside(packages: &[&str]) -> Result<(), Failure> {
    let [before, now] = packages else { return Err(Failure::Usage(USAGE.to_owned())) };
    let guest = Guest::over_this_machine()?;
    guest.must(&["dpkg", "--install", before])?;
    let code = guest.count("var/lib/portcullis/compiled", ".code")?;
    guest.expect(code == 2, &format!("installing {BEFORE} compiled {code} extensions"))?;
    let ca = guest.read("etc/portcullis/pki/ca.pem")?;
    let user =
        guest.must(&["portcullis", "user", "add", "ann", "--file", "/etc/portcullis/users.txt"])?;
    let password = user.split("not shown again: ").nth(1).and_then(|rest| rest.lines().next());
    let password = password.unwrap_or_default().trim().to_owned();
    guest.must(&["chgrp", "portcullis", "/etc/portcullis/users.txt"])?;

    let mut gateway = guest.start()?;
    guest.expect(gateway.compiled == 0, "the first start compiled nothing")?;
    guest.subscribe(&password)?;
    guest.publish(&password, MESSAGES)?;
    // As an installation leaves it that was cut short.
    guest.must(&["rm", "/etc/portcullis/pki/server.pem"])?;
    guest.must(&["chmod", "0600", "/etc/portcullis/pki/server.key"])?;
    guest.must(&["dpkg", "--install", now])?;
    guest.expect(guest.has("etc/portcullis/pki/server.pem"), "a certificate is made again")?;
    gateway.stop()?;
    gateway = guest.start()?;
    let got = guest.receive(&password, MESSAGES)?;
    guest.expect(
        got == MESSAGES,
        &format!("upgraded with a full queue: {got} of {MESSAGES} messages are there, in order"),
    )?;
    guest.expect(guest.read("etc/portcullis/pki/ca.pem")? == ca, "the authority is the same")?;

    guest.publish(&password, MESSAGES)?;
    gateway.stop()?;
    guest.must(&["dpkg", "--remove", "portcullis"])?;
    guest.expect(!guest.has("usr/bin/portcullis"), "removing takes the program")?;
    guest
        .expect(STATE.iter().all(|path| guest.has(path)), "and leaves the store, users and keys")?;
    guest.must(&["dpkg", "--install", now])?;
    let gateway = guest.start()?;
    let got = guest.receive(&password, MESSAGES)?;
    guest.expect(
        got == MESSAGES,
        &format!("removed and installed again: {got} of {MESSAGES} messages are there, in order"),
    )?;
    gateway.stop()?;

    guest.must(&["dpkg", "--purge", "portcullis"])?;
    let left: Vec<_> = ["etc/portcullis", "var/lib/portcullis", "usr/lib/portcullis"]
        .into_iter()
        .filter(|path| guest.has(path))
        .collect();
    guest.expect(left.is_empty(), &format!("purging leaves {left:?}"))?;
    let known = guest.read("etc/passwd")?.lines().any(|line| line.starts_with("portcullis:"));
    guest.expect(!known, "and no user")
}

/// The line of the unit that starts the gateway.
fn exec_start(unit: &str) -> Option<Vec<&str>> {
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    Some(line.split_whitespace().collect())
}

/// Makes folders and mounts an overlay of everything on them.
fn overlay(at: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(at).map_err(Failure::file("create", at))?;
    let mount = |words: &[&str]| run_program(Command::new("mount").args(words));
    let shown = at.display().to_string();
    mount(&["-t", "tmpfs", "portcullis", &shown])?;
    let folder = |name: &str| -> Result<PathBuf, Failure> {
        let path = at.join(name);
        fs::create_dir_all(&path).map_err(Failure::file("create", &path))?;
        Ok(path)
    };
    let (upper, work, root) = (folder("upper")?, folder("work")?, folder("root")?);
    let layers = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
    mount(&["-t", "overlay", "portcullis", "-o", &layers, &root.display().to_string()])?;
    for (kind, place) in [("proc", "proc"), ("tmpfs", "run")] {
        mount(&["-t", kind, "portcullis", &root.join(place).display().to_string()])?;
    }
    mount(&["--rbind", "/dev", &root.join("dev").display().to_string()])?;
    Ok(root)
}
