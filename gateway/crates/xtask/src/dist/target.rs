use std::env::consts::ARCH;

use crate::failure::Failure;
use crate::packages::Package;

/// A machine that the gateway is built for.
#[derive(Debug)]
pub(crate) struct Target {
    /// As Rust calls it.
    pub(crate) triple: &'static str,
    /// As `std::env::consts::ARCH` calls its processor.
    arch: &'static str,
    /// What compiles C and links for it, elsewhere than on such a machine.
    pub(crate) tools: Tools,
    /// What runs its programs elsewhere.
    pub(crate) emulator: Option<Emulator>,
}

/// A C compiler, which links too.
#[derive(Debug)]
pub(crate) enum Tools {
    /// GCC: `PREFIX-gcc` and `PREFIX-ar`.
    Gcc {
        /// Before the names of its programs.
        prefix: &'static str,
        /// What brings it.
        packages: &'static [Package],
    },
    /// zig's, which has a musl of its own.
    Zig {
        /// As zig calls the target.
        triple: &'static str,
    },
}

/// A program that runs those of another processor.
#[derive(Debug)]
pub(crate) struct Emulator {
    pub(crate) program: &'static str,
    /// Where the libraries of that machine are.
    pub(crate) libraries: &'static str,
    /// As the emulator calls it.
    pub(crate) machine: &'static str,
    /// How wide an address is, in ELF: 1 for 32 bits, 2 for 64.
    pub(crate) class: u8,
    /// The processor, in ELF.
    pub(crate) number: u8,
}

/// What brings the emulators.
pub(crate) const EMULATORS: Package =
    Package { name: "qemu-user-static", brings: "qemu-aarch64-static" };

const AARCH64: Emulator = Emulator {
    program: "qemu-aarch64-static",
    libraries: "/usr/aarch64-linux-gnu",
    machine: "aarch64",
    class: 2,
    number: 0xb7,
};

const ARM: Emulator = Emulator {
    program: "qemu-arm-static",
    libraries: "/usr/arm-linux-gnueabihf",
    machine: "arm",
    class: 1,
    number: 0x28,
};

/// All of them.
static TARGETS: [Target; 4] = [
    Target {
        triple: "x86_64-unknown-linux-gnu",
        arch: "x86_64",
        tools: Tools::Gcc {
            prefix: "x86_64-linux-gnu",
            packages: &[
                Package { name: "gcc-x86-64-linux-gnu", brings: "x86_64-linux-gnu-gcc" },
                Package {
                    name: "libc6-dev-amd64-cross",
                    brings: "/usr/x86_64-linux-gnu/include/stdio.h",
                },
            ],
        },
        emulator: None,
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        arch: "aarch64",
        tools: Tools::Gcc {
            prefix: "aarch64-linux-gnu",
            packages: &[
                Package { name: "gcc-aarch64-linux-gnu", brings: "aarch64-linux-gnu-gcc" },
                Package {
                    name: "libc6-dev-arm64-cross",
                    brings: "/usr/aarch64-linux-gnu/include/stdio.h",
                },
            ],
        },
        emulator: Some(AARCH64),
    },
    Target {
        triple: "aarch64-unknown-linux-musl",
        arch: "aarch64",
        tools: Tools::Zig { triple: "aarch64-linux-musl" },
        emulator: Some(AARCH64),
    },
    Target {
        triple: "armv7-unknown-linux-gnueabihf",
        arch: "arm",
        tools: Tools::Gcc {
            prefix: "arm-linux-gnueabihf",
            packages: &[
                Package { name: "gcc-arm-linux-gnueabihf", brings: "arm-linux-gnueabihf-gcc" },
                Package {
                    name: "libc6-dev-armhf-cross",
                    brings: "/usr/arm-linux-gnueabihf/include/stdio.h",
                },
            ],
        },
        emulator: Some(ARM),
    },
];

impl Target {
    /// The one with this name.
    pub(crate) fn named(triple: &str) -> Result<&'static Self, Failure> {
        TARGETS.iter().find(|target| target.triple == triple).ok_or_else(|| {
            let names: Vec<_> = TARGETS.iter().map(|target| target.triple).collect();
            Failure::Usage(format!(
                "\"{triple}\" is no target of the gateway; there are {}",
                names.join(", ")
            ))
        })
    }

    /// Whether this machine's own compiler builds for it, and this machine runs it.
    pub(crate) fn is_this_machine(&self) -> bool {
        self.arch == ARCH && self.triple.ends_with("gnu")
    }

    /// Whether its machines are where extensions are compiled for others.
    pub(crate) fn is_for_workstations(&self) -> bool {
        self.arch == "x86_64"
    }

    /// The name in variables: upper case for cargo's, as it is for those of C compilers.
    pub(crate) fn in_variables(&self) -> String {
        self.triple.replace('-', "_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_names() {
        let target = Target::named("armv7-unknown-linux-gnueabihf").unwrap();
        assert_eq!(target.in_variables(), "armv7_unknown_linux_gnueabihf");
        assert!(!Target::named("aarch64-unknown-linux-musl").unwrap().is_this_machine());
        let said = Target::named("armv5").unwrap_err().to_string();
        assert!(said.contains("\"armv5\"") && said.contains("aarch64-unknown-linux-gnu"), "{said}");
    }
}
