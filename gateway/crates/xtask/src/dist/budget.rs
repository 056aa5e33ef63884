//! What the gateway may take of a board, in one place.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::dist::build::Build;
use crate::failure::Failure;

/// The limits of one build.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Bytes of the program, without symbols. A release for the boards that most people have is held to it.
    pub(crate) program_bytes: u64,
    /// Bytes resident when nothing happens, with `password` and `acl`.
    pub(crate) resident_bytes: u64,
    /// From the start to the first CONNACK, with code that was kept.
    pub(crate) first_connack: Duration,
}

const MB: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

const FULL: Budget = Budget {
    program_bytes: 20 * MB,
    resident_bytes: 30 * MIB,
    first_connack: Duration::from_millis(300),
};

const RUNTIME_ONLY: Budget = Budget { program_bytes: 10 * MB, resident_bytes: 20 * MIB, ..FULL };

/// The processor whose programs are held to a size. On workstations nobody minds, and theirs compile for all others.
const HELD: &str = "aarch64-";

impl Budget {
    /// That of a build with a compiler, or of one without.
    pub(crate) const fn of(runtime_only: bool) -> Self {
        if runtime_only { RUNTIME_ONLY } else { FULL }
    }
}

/// Fails if the program of a build is larger than what it is held to.
pub(crate) fn check(build: Build, program: &Path) -> Result<(), Failure> {
    let bytes = fs::metadata(program).map_err(Failure::file("read", program))?.len();
    exceeds(build, bytes).map_or(Ok(()), |why| {
        Err(Failure::Other(format!("{} is too large: {why}", program.display())))
    })
}

fn exceeds(build: Build, bytes: u64) -> Option<String> {
    let most = Budget::of(build.runtime_only).program_bytes;
    let is_too_much = build.target.triple.starts_with(HELD) && bytes > most;
    is_too_much.then(|| {
        format!(
            "{bytes} bytes, and the budget of {} is {most}; `cargo xtask footprint` says what it is made of, and \
             dist/budget.rs has the budget",
            build.name()
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::dist::target::Target;

    use super::*;

    #[test]
    fn boards_are_held_to_their_budget() {
        let build =
            |triple, runtime_only| Build { target: Target::named(triple).unwrap(), runtime_only };
        for triple in ["aarch64-unknown-linux-gnu", "aarch64-unknown-linux-musl"] {
            assert_eq!(exceeds(build(triple, false), 20_000_000), None);
            let why = exceeds(build(triple, false), 20_000_001).unwrap();
            assert!(why.contains("20000001") && why.contains("is 20000000"), "{why}");
            assert_eq!(exceeds(build(triple, true), 10_000_000), None);
            let why = exceeds(build(triple, true), 10_000_001).unwrap();
            assert!(why.contains("-runtime-only is 10000000"), "{why}");
        }
        assert_eq!(exceeds(build("x86_64-unknown-linux-gnu", false), 40_000_000), None);
    }
}
