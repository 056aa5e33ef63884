//! zig as a C compiler: it brings musl, and what a program needs to start and to unwind, for each processor.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::output;
use crate::failure::Failure;
use crate::root::Root;
use crate::{packages, venv};

const REQUIREMENTS: [&str; 1] = ["ziglang==0.17.0"];
/// The musl in it.
pub(crate) const MUSL: &str = "1.2.5";
const PURPOSE: &str = "linking for musl";

/// Programs that take what GCC takes.
#[derive(Debug)]
pub(crate) struct Zig {
    pub(crate) cc: PathBuf,
    pub(crate) ar: PathBuf,
}

/// Installs zig if it is not there, and makes its programs for a target, as zig calls that.
pub(crate) fn ensure(root: &Root, triple: &str) -> Result<Zig, Failure> {
    packages::ensure(&venv::PACKAGES, PURPOSE)?;
    let python = venv::programs(root, &REQUIREMENTS, "zig", PURPOSE)?.join("python");
    let script =
        "import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))";
    let zig = output(Command::new(python).args(["-c", script]))?;
    let folder = root.target("zig");
    let made = Zig { cc: folder.join(format!("{triple}-cc")), ar: folder.join("ar") };
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

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    // One that is the same keeps its time, by which cargo sees what has changed.
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(Failure::file("write", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(Failure::file("change the mode of", path))
}
