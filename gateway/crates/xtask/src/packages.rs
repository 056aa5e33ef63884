//! Debian packages that a command needs: installed when missing, and never without saying so.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::command::{find, output, run};
use crate::failure::Failure;

/// Held by whoever has apt work: it does for one caller at a time.
static APT: Mutex<()> = Mutex::new(());

/// A package, and how to see that it is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Package {
    /// Name for apt.
    pub(crate) name: &'static str,
    /// A program in `PATH`, or a file when it begins with `/`, that the package brings.
    pub(crate) brings: &'static str,
}

impl Package {
    fn is_missing(self) -> bool {
        if self.brings.starts_with('/') {
            !Path::new(self.brings).exists()
        } else {
            find(self.brings).is_none()
        }
    }
}

/// Whether this machine has apt.
pub(crate) fn has_apt() -> bool {
    find("apt-get").is_some()
}

/// Installs those of `packages` that are missing; `purpose` tells the user what they are for.
pub(crate) fn ensure(packages: &[Package], purpose: &str) -> Result<(), Failure> {
    let _turn = APT.lock().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<_> = packages
        .iter()
        .filter(|package| package.is_missing())
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !has_apt() {
        return Err(Failure::Other(format!(
            "{purpose} needs what Debian calls {names}, and there is no apt-get here; install it in this \
             system's own way and run the command again"
        )));
    }
    eprintln!("installing for {purpose}: {names}");
    // A list that is fresh enough saves the update; one that is not makes the first attempt fail.
    if run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(&missing)).is_ok() {
        return Ok(());
    }
    renew_now(packages)
}

/// Brings `packages` to the newest version that this system's sources have: what is installed, or what the
/// lists of a machine that has not looked for a while offer, is too old.
pub(crate) fn renew(packages: &[Package]) -> Result<(), Failure> {
    let _turn = APT.lock().unwrap_or_else(PoisonError::into_inner);
    renew_now(packages)
}

fn renew_now(packages: &[Package]) -> Result<(), Failure> {
    let names = packages.iter().map(|package| package.name);
    run(apt_get().arg("update"))?;
    run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(names))
}

fn apt_get() -> Command {
    let is_root = output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    // `env` because sudo drops the variables of its caller.
    let mut command = if is_root { Command::new("env") } else { Command::new("sudo") };
    if !is_root {
        command.arg("env");
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
    command
}
