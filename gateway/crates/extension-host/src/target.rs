//! What compiled code is for: a processor, or the interpreter.

use std::fmt;

/// A processor that the engine makes code for, or its interpreter, which runs where it makes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(&'static str);

/// Processors by their names in target triples, with what the engine calls them: those that it makes code for, and the interpreter
/// with 32 and 64 bits of addresses.
const KNOWN: [(&str, &str); 6] = [
    ("x86_64", "x86_64-unknown-linux-gnu"),
    ("aarch64", "aarch64-unknown-linux-gnu"),
    ("riscv64", "riscv64gc-unknown-linux-gnu"),
    ("s390x", "s390x-unknown-linux-gnu"),
    ("pulley32", "pulley32"),
    ("pulley64", "pulley64"),
];

impl Target {
    /// What this program runs.
    #[must_use]
    pub fn here() -> Self {
        Self::named(std::env::consts::ARCH).unwrap_or(Self(if cfg!(target_pointer_width = "64") {
            "pulley64"
        } else {
            "pulley32"
        }))
    }

    /// Of a target triple as compilers of Rust and C have it, `aarch64-unknown-linux-gnu`, or of a processor alone. The
    /// system is Linux whatever it says, with any C library. Boards with 32 bits run the interpreter.
    #[must_use]
    pub fn of_triple(triple: &str) -> Option<Self> {
        let processor = triple.split('-').next().unwrap_or_default();
        match processor {
            "riscv64gc" => Self::named("riscv64"),
            "i586" | "i686" => Self::named("pulley32"),
            arm if arm.starts_with("arm") && !arm.starts_with("arm64") => Self::named("pulley32"),
            other => Self::named(other),
        }
    }

    fn named(processor: &str) -> Option<Self> {
        KNOWN.iter().find(|(name, _)| *name == processor).map(|(name, _)| Self(name))
    }

    /// Whether it has 32 bits of addresses.
    #[must_use]
    pub fn has_few_addresses(self) -> bool {
        self.0.ends_with("32")
    }

    /// What the engine calls it.
    #[cfg(feature = "compiler")]
    pub(crate) fn triple(self) -> &'static str {
        KNOWN.iter().find(|(name, _)| *name == self.0).map_or(self.0, |(_, triple)| triple)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triples_name_processors() {
        for (triple, target) in [
            ("aarch64-unknown-linux-gnu", Some("aarch64")),
            ("aarch64-unknown-linux-musl", Some("aarch64")),
            ("x86_64", Some("x86_64")),
            ("armv7-unknown-linux-gnueabihf", Some("pulley32")),
            ("arm-unknown-linux-gnueabi", Some("pulley32")),
            ("riscv64gc-unknown-linux-gnu", Some("riscv64")),
            ("pulley64", Some("pulley64")),
            ("m68k-unknown-linux-gnu", None),
            ("", None),
        ] {
            assert_eq!(Target::of_triple(triple).map(|it| it.0), target, "{triple}");
        }
    }

    #[test]
    fn this_program_runs_somewhere() {
        assert_eq!(Target::of_triple(&Target::here().to_string()), Some(Target::here()));
    }
}
