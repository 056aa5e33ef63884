//! How much address space each memory of a guest gets, by what the machine has.

use std::fmt;

use wasmtime::{Config, Engine, Memory, MemoryType, Store};

/// How the engine lays out memories. Which one it is changes what guests cost, not what they can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSpace {
    /// 4 GiB for each memory, so that no access of a guest needs a check: for machines with 47 or more bits of
    /// addresses.
    Wide,
    /// What the largest memory may have: for the 39 bits of small boards' kernels.
    Ample,
    /// A few MiB, and memories move when they outgrow that: where addresses are limited (`ulimit -v`, 32 bits).
    Tight,
}

/// Addresses that a machine must give for memories to be wide: room for 4,096 of them, which is more instances than
/// a gateway's configuration adds up to.
const WIDE_NEEDS: u64 = 16 << 40;

/// The same for 1,000 memories of the largest size.
const AMPLE_NEEDS: u64 = 64 << 30;

/// The highest address of a process with 47 bits is above this. Below it nothing of `WIDE_NEEDS` is even tried:
/// emulators of processors take seconds for a mapping of terabytes.
const WIDE_ADDRESSES: u64 = 1 << 46;

/// 32 bits of offset that a guest can name, and the constant that the compiler may add without a check.
const WIDE_BYTES: u64 = 4 << 30;
const WIDE_GUARD_BYTES: u64 = 32 << 20;

/// Address space behind each other memory that must never be touched.
const GUARD_BYTES: u64 = 64 << 10;

/// What a guest in Rust or C does not outgrow, and by how much more a memory that moves gets at a time.
const TIGHT_BYTES: u64 = 4 << 20;

impl AddressSpace {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Wide, Self::Ample, Self::Tight];

    /// Finds out what this machine has, by asking for it. `highest` is the highest address that something of this
    /// process has, if that is known.
    #[must_use]
    pub fn probe(highest: Option<u64>) -> Self {
        if cfg!(not(target_pointer_width = "64")) {
            return Self::Tight;
        }
        if highest.is_some_and(|highest| highest >= WIDE_ADDRESSES) && has(WIDE_NEEDS) {
            Self::Wide
        } else if has(AMPLE_NEEDS) {
            Self::Ample
        } else {
            Self::Tight
        }
    }

    /// Bytes of addresses for one memory, of which the largest may have `max_memory_bytes`.
    #[must_use]
    pub fn reservation(self, max_memory_bytes: usize) -> u64 {
        match self {
            Self::Wide => WIDE_BYTES,
            Self::Ample => max_memory_bytes as u64,
            Self::Tight => TIGHT_BYTES.min(max_memory_bytes as u64),
        }
    }

    /// Sets up an engine for it.
    pub(crate) fn configure(self, config: &mut Config, max_memory_bytes: usize) {
        config
            .memory_reservation(self.reservation(max_memory_bytes))
            .memory_guard_size(if self == Self::Wide { WIDE_GUARD_BYTES } else { GUARD_BYTES })
            .memory_may_move(self == Self::Tight)
            .memory_reservation_for_growth(if self == Self::Tight { TIGHT_BYTES } else { 0 });
    }

    /// The number that stands for it in a job.
    #[cfg(feature = "compiler")]
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Wide => 0,
            Self::Ample => 1,
            Self::Tight => 2,
        }
    }

    #[cfg(feature = "compiler")]
    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|space| space.number() == number)
    }
}

impl fmt::Display for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wide => "wide",
            Self::Ample => "ample",
            Self::Tight => "tight",
        })
    }
}

/// Whether so much can be reserved in one piece, which is given back at once. Only the kernel knows: it is less than
/// what the addresses have room for under a limit of the process.
fn has(bytes: u64) -> bool {
    let mut config = Config::new();
    config.memory_reservation(bytes).memory_reservation_for_growth(0).memory_guard_size(0);
    let Ok(engine) = Engine::new(&config) else { return false };
    Memory::new(Store::new(&engine, ()), MemoryType::new(0, Some(0))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_not_there() {
        assert!(has(1 << 20));
        assert!(!has(1 << 60));
    }

    #[test]
    fn low_addresses_are_not_wide() {
        assert_ne!(AddressSpace::probe(Some((1 << 39) - 1)), AddressSpace::Wide);
        assert_ne!(AddressSpace::probe(None), AddressSpace::Wide);
    }

    #[test]
    #[cfg(feature = "compiler")]
    fn numbers_stand_for_one_each() {
        for space in AddressSpace::ALL {
            assert_eq!(AddressSpace::of_number(space.number()), Some(space));
        }
        assert_eq!(AddressSpace::of_number(3), None);
    }
}
