//! zig as a C compiler: it brings musl, and what a program needs to start and to unwind, for each processor.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::output;
use crate::dist::build::Linked;
use crate::failure::Failure;
use crate::root::Root;
use crate::{packages, venv};

const REQUIREMENTS: [&str; 1] = ["ziglang==0.17.0"];
/// The musl in it.
const MUSL: &str = "1.2.5";
const PURPOSE: &str = "linking for musl";

/// Programs that take what GCC takes.
#[derive(Debug)]
pub(crate) struct Zig {
    pub(crate) cc: PathBuf,
    pub(crate) ar: PathBuf,
    /// What of it becomes a part of each program.
    pub(crate) linked: Vec<Linked>,
}

/// Installs zig if it is not there, and makes its programs for a target, as zig calls that.
pub(crate) fn ensure(root: &Root, triple: &str) -> Result<Zig, Failure> {
    packages::ensure(&venv::PACKAGES, PURPOSE)?;
    let python = venv::programs(root, &REQUIREMENTS, "zig", PURPOSE)?.join("python");
    let script =
        "import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))";
    let zig = output(Command::new(python).args(["-c", script]))?;
    let folder = root.target("zig");
    let about = output(Command::new(&zig).args(["cc", "--version"]))?;
    let version = output(Command::new(&zig).arg("version"))?;
    let made = Zig {
        cc: folder.join(format!("{triple}-cc")),
        ar: folder.join("ar"),
        linked: linked(&about, &version)?,
    };
    // Rust's names of targets are not zig's, and zig has LLVM's library where Rust asks for that of GCC.
    let cc = format!(
        "#!/bin/sh\n\
         for word do\n\
         shift\n\
         case $word in\n\
         --target=*) ;;\n\
         -lgcc_eh | -lgcc_s) set -- \"$@\" -lunwind ;;\n\
         *) set -- \"$@\" \"$word\" ;;\n\
         esac\n\
         done\n\
         exec '{zig}' cc -target {triple} \"$@\"\n"
    );
    write(&made.cc, &cc)?;
    write(&made.ar, &format!("#!/bin/sh\nexec '{zig}' ar \"$@\"\n"))?;
    Ok(made)
}

/// The libraries in programs that this zig links. Its unwinder is LLVM's, of the version of its compiler; what the processor has
/// no instruction for is zig's own.
fn linked(about_cc: &str, zig: &str) -> Result<Vec<Linked>, Failure> {
    let llvm =
        about_cc.split("clang version ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let llvm = llvm.ok_or_else(|| {
        Failure::Other(format!(
            "`zig cc --version` says {about_cc:?}, and no \"clang version\"; the list of parts needs it"
        ))
    })?;
    let part = |name, version: &str, licence| Linked { name, version: version.to_owned(), licence };
    Ok(vec![
        part("musl", MUSL, "MIT"),
        part("llvm-libunwind", llvm, "Apache-2.0 WITH LLVM-exception"),
        part("zig-compiler-rt", zig, "MIT"),
    ])
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    // One that is the same keeps its time, by which cargo sees what has changed.
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(Failure::file("write", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(Failure::file("change the mode of", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_zig_links_is_named_with_its_version() {
        let said =
            "clang version 21.1.0 (https://example.invalid/zig 0f1e)\nTarget: aarch64-linux-musl";
        let parts = linked(said, "0.17.0").unwrap();
        let names: Vec<_> = parts.iter().map(|part| (part.name, part.version.as_str())).collect();
        let wanted = [("musl", MUSL), ("llvm-libunwind", "21.1.0"), ("zig-compiler-rt", "0.17.0")];
        assert_eq!(names, wanted);
        assert!(linked("gcc", "0.17.0").is_err());
    }
}
