//! Programs of other processors, run here.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::dist::target::{EMULATORS, Emulator, Target};
use crate::failure::Failure;
use crate::packages;
use crate::root::Root;

/// What tells the kernel about the emulator, in namespaces that end with the command: an instance of `binfmt_misc` (Linux 6.7),
/// and the folder of that machine's libraries where the emulator looks for it. Its words are a folder that may be
/// covered, the libraries, the machine, the line for the kernel, and the command.
const SETUP: &str = r#"set -e
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" /etc
mkdir -p /etc/qemu-binfmt
ln -sfn "$2" "/etc/qemu-binfmt/$3"
printf %s "$4" > /proc/sys/fs/binfmt_misc/register
shift 4
exec "$@"
"#;

/// How programs of a target are started.
#[derive(Debug)]
pub(crate) enum Start {
    /// As any program.
    Directly,
    /// As any program, by whoever is in namespaces that these words make.
    InNamespaces(Vec<String>),
    /// By a file that has the emulator take its place. A program cannot start itself again then.
    ByFile { folder: PathBuf, emulator: &'static Emulator },
}

impl Start {
    /// The best way that this machine has.
    pub(crate) fn find(root: &Root, target: &'static Target) -> Result<Self, Failure> {
        if target.is_this_machine() {
            return Ok(Self::Directly);
        }
        let Some(emulator) = &target.emulator else {
            return Err(Failure::Other(format!(
                "nothing here runs programs for {}; test it on such a machine",
                target.triple
            )));
        };
        packages::ensure(&[EMULATORS], "programs of other processors")?;
        let folder = root.target("emulated").join(target.triple);
        let covered = folder.join("covered");
        fs::create_dir_all(&covered).map_err(Failure::file("create", &covered))?;
        let words = namespaces(emulator, &covered);
        if can(&words) {
            return Ok(Self::InNamespaces(words));
        }
        eprintln!(
            "the kernel cannot be told of {} for this command alone (that takes Linux 6.7 and namespaces of users), so \
             the gateway compiles in its own process",
            emulator.program
        );
        Ok(Self::ByFile { folder, emulator })
    }

    /// Whether a program can start itself again, as the gateway does to compile in a process of its own.
    pub(crate) const fn starts_itself(&self) -> bool {
        !matches!(self, Self::ByFile { .. })
    }

    /// A command that may start programs of the target.
    pub(crate) fn command(&self, program: &OsStr) -> Command {
        match self {
            Self::InNamespaces(words) => {
                let mut command = Command::new("unshare");
                command.args(words).arg(program);
                command
            }
            Self::Directly | Self::ByFile { .. } => Command::new(program),
        }
    }

    /// What such a command starts instead of `program`.
    pub(crate) fn file(&self, program: &Path) -> Result<PathBuf, Failure> {
        let Self::ByFile { folder, emulator } = self else { return Ok(program.to_path_buf()) };
        let path = folder.join("portcullis");
        let Emulator { program: qemu, libraries, .. } = emulator;
        let text =
            format!("#!/bin/sh\nexec {qemu} -L {libraries} '{}' \"$@\"\n", program.display());
        fs::write(&path, text).map_err(Failure::file("write", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(Failure::file("change the mode of", &path))?;
        Ok(path)
    }
}

/// The arguments of `unshare` before a command.
fn namespaces(emulator: &Emulator, covered: &Path) -> Vec<String> {
    let Emulator { program, libraries, machine, class, number } = emulator;
    let magic = format!(
        r"\x7fELF\x0{class}\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x{number:02x}\x00"
    );
    // Any system interface, and programs with addresses of their own choice as well as fixed ones.
    let mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
    let line = format!(":portcullis-{machine}:M::{magic}:{mask}:/usr/bin/{program}:F");
    let covered = covered.display().to_string();
    let words = ["--user", "--map-root-user", "--mount", "--", "sh", "-c", SETUP, "sh"];
    let more = [&covered, *libraries, *machine, &line];
    words.into_iter().chain(more).map(str::to_owned).collect()
}

/// Whether this machine lets such namespaces be made.
fn can(words: &[String]) -> bool {
    let mut test = Command::new("unshare");
    test.args(words).arg("true").stdout(Stdio::null()).stderr(Stdio::null());
    test.env("PATH", env::var_os("PATH").unwrap_or_default());
    test.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told_what_to_look_for() {
        let target = Target::named("armv7-unknown-linux-gnueabihf").unwrap();
        let words = namespaces(target.emulator.as_ref().unwrap(), Path::new("/covered"));
        let line = words.last().unwrap();
        let begin = r":portcullis-arm:M::\x7fELF\x01\x01\x01\x00";
        assert!(line.starts_with(begin), "{line}");
        assert!(line.contains(r"\x02\x00\x28\x00:\xff"), "{line}");
        let fields: Vec<_> = line.split(':').collect();
        assert_eq!(fields[4].matches(r"\x").count(), 17, "and three letters");
        assert_eq!(fields[5].matches(r"\x").count(), 20);
    }

    #[test]
    fn a_file_has_the_emulator_take_its_place() {
        let folder = env::temp_dir().join(format!("portcullis-emulator-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let target = Target::named("aarch64-unknown-linux-gnu").unwrap();
        let start =
            Start::ByFile { folder: folder.clone(), emulator: target.emulator.as_ref().unwrap() };
        assert!(!start.starts_itself() && Start::Directly.starts_itself());
        let text = fs::read_to_string(start.file(Path::new("/a b")).unwrap()).unwrap();
        fs::remove_dir_all(folder).unwrap();
        assert!(
            text.contains("exec qemu-aarch64-static -L /usr/aarch64-linux-gnu '/a b' \"$@\"\n")
        );
    }
}
