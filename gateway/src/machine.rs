use std::fs;

use extension_host::{AddressSpace, EngineSettings};

/// What the engine is set up for on this machine.
pub(crate) fn engine_settings() -> EngineSettings {
    let highest = fs::read_to_string("/proc/self/maps").ok().and_then(|maps| highest(&maps));
    let space = AddressSpace::probe(highest);
    let settings = EngineSettings { space, ..EngineSettings::default() };
    tracing::info!(
        plan = %space,
        bytes_per_memory = space.reservation(settings.max_memory_bytes),
        highest_address = highest.map(|highest| format!("{highest:#x}")),
        "address space of guests chosen"
    );
    settings
}

/// The highest address of a program's own mappings: those of the kernel have the highest bit.
fn highest(maps: &str) -> Option<u64> {
    let end = |line: &str| {
        let (_, rest) = line.split_once('-')?;
        u64::from_str_radix(rest.split(' ').next()?, 16).ok()
    };
    maps.lines().filter_map(end).filter(|end| end >> 63 == 0).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_is_the_highest() {
        let maps = "\
            55d0c0a00000-55d0c0a20000 r--p 00000000 08:01 1311 /usr/bin/portcullis\n\
            7ffd3c5e9000-7ffd3c60a000 rw-p 00000000 00:00 0 [stack]\n\
            ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n";
        assert_eq!(highest(maps), Some(0x7ffd_3c60_a000));
        assert_eq!(highest(""), None);
        let here = fs::read_to_string("/proc/self/maps").unwrap();
        assert!(highest(&here).is_some_and(|highest| highest > 1 << 30));
    }
}
