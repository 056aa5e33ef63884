use std::fs;
use std::path::Path;

use extension_host::{AddressSpace, EngineSettings};
use rustix::process::{Resource, getrlimit};

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

/// Bytes that the process may use, where the operator says nothing: half of what the machine, the control group or the limit of addresses
/// (`ulimit -v`) has. The other half is
/// for what is not in the process: the kernel's buffers of sockets, which a reader that is slow fills, and the pages of the store's
/// files, both of which a control group counts; and for the compiler of components, which is a process of its own.
pub(crate) fn memory_budget(stated: Option<u64>) -> usize {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|info| total(&info));
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let group = group.and_then(|own| group_limit(Path::new("/sys/fs/cgroup"), &own));
    let addresses = getrlimit(Resource::As).current;
    let there = machine.into_iter().chain(group).chain(addresses).min();
    let bytes = stated.or(there.map(|bytes| bytes / 2)).unwrap_or(UNKNOWN_BUDGET);
    tracing::info!(bytes, stated = stated.is_some(), machine, group, addresses, "memory budget");
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Half of the smallest board that is supported, where nothing says what there is.
const UNKNOWN_BUDGET: u64 = 512 << 20;

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

/// The lowest limit of the control groups (version 2) that the process is in.
fn group_limit(root: &Path, own: &str) -> Option<u64> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = |group: &Path| {
        fs::read_to_string(group.join("memory.max")).ok()?.trim().parse::<u64>().ok()
    };
    let group = root.join(own);
    group.ancestors().take_while(|group| group.starts_with(root)).filter_map(limit).min()
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
    fn the_lowest_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("system.slice/portcullis.service");
        fs::create_dir_all(&group).unwrap();
        let own = "12:pids:/elsewhere\n0::/system.slice/portcullis.service\n";
        assert_eq!(group_limit(root.path(), own), None);
        fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(group_limit(root.path(), own), None);
        fs::write(root.path().join("system.slice/memory.max"), "1073741824\n").unwrap();
        assert_eq!(group_limit(root.path(), own), Some(1 << 30));
        fs::write(group.join("memory.max"), "268435456\n").unwrap();
        assert_eq!(group_limit(root.path(), own), Some(256 << 20));
        assert_eq!(group_limit(root.path(), "0::/\n"), None);
        assert_eq!(total("MemTotal:        1000 kB\nMemFree: 1 kB\n"), Some(1_024_000));
    }

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
