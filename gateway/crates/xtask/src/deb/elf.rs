use std::env::consts::ARCH;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::output;
use crate::failure::Failure;
use crate::packages::Package;

/// The word by which a gateway that compiles starts itself (`VERB` in gateway/src/compiler/process.rs). Those that do not have
/// no use for it.
const COMPILES: &[u8] = b"compile-component";

/// What a program says of itself.
#[derive(Debug)]
pub(crate) struct Program {
    machine: Machine,
    /// The newest version of the C library that it names, if it needs one.
    glibc: Option<(u32, u32)>,
    libraries: Vec<String>,
    compiles: bool,
}

/// What it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    X86_64,
    Aarch64,
    Arm,
}

impl Program {
    /// Reads an ELF file by its head and what `readelf` finds in it.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = fs::read(path).map_err(Failure::file("read", path))?;
        let machine = machine(&bytes).ok_or_else(|| {
            Failure::Other(format!(
                "{} is no program for x86-64 or ARM; name one with --binary",
                path.display()
            ))
        })?;
        let readelf = |option| {
            output(Command::new("readelf").env("LC_ALL", "C").args([option, "--wide"]).arg(path))
        };
        Ok(Self {
            machine,
            glibc: newest(&readelf("--version-info")?),
            libraries: needed(&readelf("--dynamic")?),
            compiles: bytes.windows(COMPILES.len()).any(|window| window == COMPILES),
        })
    }

    /// Debian's name for the machine.
    pub(crate) const fn architecture(&self) -> &'static str {
        match self.machine {
            Machine::X86_64 => "amd64",
            Machine::Aarch64 => "arm64",
            Machine::Arm => "armhf",
        }
    }

    /// Rust's name for it.
    pub(crate) const fn triple(&self) -> &'static str {
        match self.machine {
            Machine::X86_64 => "x86_64-unknown-linux-gnu",
            Machine::Aarch64 => "aarch64-unknown-linux-gnu",
            Machine::Arm => "armv7-unknown-linux-gnueabihf",
        }
    }

    /// Whether it is a gateway that can compile extensions.
    pub(crate) const fn compiles(&self) -> bool {
        self.compiles
    }

    /// Whether this machine's processor is its own.
    pub(crate) fn runs_here(&self) -> bool {
        let own = match self.machine {
            Machine::X86_64 => "x86_64",
            Machine::Aarch64 => "aarch64",
            Machine::Arm => "arm",
        };
        own == ARCH
    }

    /// What takes symbols out of it, wherever it is packaged.
    pub(crate) const fn strip(&self) -> Package {
        match self.machine {
            Machine::X86_64 => {
                Package { name: "binutils-x86-64-linux-gnu", brings: "x86_64-linux-gnu-strip" }
            }
            Machine::Aarch64 => {
                Package { name: "binutils-aarch64-linux-gnu", brings: "aarch64-linux-gnu-strip" }
            }
            Machine::Arm => Package {
                name: "binutils-arm-linux-gnueabihf",
                brings: "arm-linux-gnueabihf-strip",
            },
        }
    }

    /// The packages with the libraries that it needs; nothing if it brings all.
    pub(crate) fn dependencies(&self) -> Vec<String> {
        let mut packages = Vec::new();
        if let Some((major, minor)) = self.glibc {
            packages.push(format!("libc6 (>= {major}.{minor})"));
        }
        if self.libraries.iter().any(|name| name == "libgcc_s.so.1") {
            packages.push("libgcc-s1 (>= 4.2)".to_owned());
        }
        packages
    }
}

fn machine(bytes: &[u8]) -> Option<Machine> {
    let head = bytes.get(..20).filter(|head| head.starts_with(b"\x7fELF"))?;
    match head {
        [.., 62, 0] => Some(Machine::X86_64),
        [.., 183, 0] => Some(Machine::Aarch64),
        [.., 40, 0] => Some(Machine::Arm),
        _ => None,
    }
}

fn newest(versions: &str) -> Option<(u32, u32)> {
    let version = |text: &str| {
        let text = text.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut numbers = text.split('.').map_while(|number| number.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    };
    versions.split("GLIBC_").skip(1).filter_map(version).max()
}

fn needed(dynamic: &str) -> Vec<String> {
    let name = |line: &str| {
        let (_, rest) = line.split_once("(NEEDED)")?;
        let (_, rest) = rest.split_once('[')?;
        Some(rest.split_once(']')?.0.to_owned())
    };
    dynamic.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readelf_says_is_understood() {
        let versions = "  0x0010:   Name: GLIBC_2.34  Flags: none\n 0x1: Name: GLIBC_2.2.5  Flags\n Name: GLIBC_2.4";
        assert_eq!(newest(versions), Some((2, 34)));
        assert_eq!(newest("No version information found"), None);
        let dynamic = " 0x1 (NEEDED)  Shared library: [libgcc_s.so.1]\n 0x1 (NEEDED) Shared library: [libc.so.6]\n 0xc (INIT) 0x1";
        assert_eq!(needed(dynamic), ["libgcc_s.so.1", "libc.so.6"]);
    }

    #[test]
    fn this_program_is_one() {
        let own = Program::read(&std::env::current_exe().unwrap()).unwrap();
        assert!(own.glibc.is_none_or(|version| version >= (2, 17)), "{own:?}");
        assert!(own.runs_here());
        assert!(machine(b"\x7fELF and so on, not").is_none());
    }

    #[test]
    fn what_compiles_is_known_by_a_word_of_the_gateway() {
        let own = crate::root::Root::find().join("gateway/src/compiler/process.rs");
        let text = fs::read_to_string(own).unwrap();
        let word = std::str::from_utf8(COMPILES).unwrap();
        assert!(text.contains(&format!("VERB: &str = \"{word}\"")), "it has another name now");
    }
}
