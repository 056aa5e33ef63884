use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::failure::Failure;

use super::mib;

/// What is resident of a process.
pub(super) struct Resident {
    pub(super) total: u64,
    parts: BTreeMap<&'static str, u64>,
}

impl Resident {
    pub(super) fn read(pid: u32, program: &Path) -> Result<Self, Failure> {
        let path = format!("/proc/{pid}/smaps");
        let text = fs::read_to_string(&path).map_err(Failure::file("read", Path::new(&path)))?;
        let program = program.to_string_lossy();
        let (mut parts, mut part) = (BTreeMap::new(), "other");
        for line in text.lines() {
            if let Some(kib) = line.strip_prefix("Rss:") {
                let kib: u64 =
                    kib.trim().trim_end_matches(" kB").trim().parse().unwrap_or_default();
                *parts.entry(part).or_default() += kib * 1024;
            } else if line
                .split_once(' ')
                .is_some_and(|(first, _)| first.contains('-') && !first.ends_with(':'))
            {
                part = kind(line, &program);
            }
        }
        Ok(Self { total: parts.values().sum(), parts })
    }

    pub(super) fn parts(&self) -> String {
        let part = |(name, bytes): (&&str, &u64)| format!("{name} {}", mib(*bytes));
        self.parts.iter().map(part).collect::<Vec<_>>().join(", ")
    }
}

/// What a mapping is of.
fn kind(line: &str, program: &str) -> &'static str {
    let mut words = line.split_whitespace();
    let (rights, name) = (words.nth(1).unwrap_or_default(), words.nth(3).unwrap_or_default());
    match name {
        "[heap]" => "heap",
        "" if rights.contains('x') => "code of extensions",
        "" | "[stack]" => "heap, stacks and guests",
        name if name == program && rights.contains('x') => "code of the program",
        name if name == program => "data of the program",
        name if name.contains(".so") => "libraries",
        _ => "other",
    }
}

/// What wakes a process that has nothing to do.
pub(super) struct Woken {
    pub(super) per_second: f64,
    threads: Vec<(String, f64)>,
}

impl Woken {
    /// Counts how often its threads gave up the processor.
    pub(super) fn watch(pid: u32, time: Duration) -> Result<Self, Failure> {
        let before = switches(pid)?;
        thread::sleep(time);
        let after = switches(pid)?;
        let mut threads: BTreeMap<String, f64> = BTreeMap::new();
        for (id, (name, count)) in after {
            let earlier = before.get(&id).map_or(0, |(_, count)| *count);
            *threads.entry(name).or_default() +=
                count.saturating_sub(earlier) as f64 / time.as_secs_f64();
        }
        let mut threads: Vec<_> = threads.into_iter().filter(|(_, rate)| *rate > 0.0).collect();
        threads.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        Ok(Self { per_second: threads.iter().map(|(_, rate)| rate).sum(), threads })
    }

    pub(super) fn threads(&self) -> String {
        let thread = |(name, rate): &(String, f64)| format!("{name} {rate:.2}");
        self.threads.iter().map(thread).collect::<Vec<_>>().join(", ")
    }
}

/// Of each thread its name and its voluntary context switches.
fn switches(pid: u32) -> Result<BTreeMap<String, (String, u64)>, Failure> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).map_err(Failure::file("read", Path::new(&path)))?;
    let mut switches = BTreeMap::new();
    for task in tasks.flatten() {
        let id = task.file_name().to_string_lossy().into_owned();
        // A thread may end meanwhile.
        let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let count = field("voluntary_ctxt_switches:").and_then(|text| text.parse().ok());
        switches
            .insert(id, (field("Name:").unwrap_or_default().to_owned(), count.unwrap_or_default()));
    }
    Ok(switches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_told_apart() {
        let program = "/usr/bin/portcullis";
        for (line, part) in [
            ("5500-5600 r-xp 0000 08:01 13 /usr/bin/portcullis", "code of the program"),
            ("5500-5600 rw-p 0000 08:01 13 /usr/bin/portcullis", "data of the program"),
            ("5500-5600 rw-p 0000 00:00 0 [heap]", "heap"),
            ("7f00-7f10 r-xp 0000 00:00 0", "code of extensions"),
            ("7f00-7f10 rw-p 0000 00:00 0 ", "heap, stacks and guests"),
            ("7f00-7f10 r-xp 0000 08:01 9 /lib/libc.so.6", "libraries"),
        ] {
            assert_eq!(kind(line, program), part, "{line}");
        }
    }

    #[test]
    fn this_process_is_resident_and_has_threads() {
        let own = Resident::read(std::process::id(), &std::env::current_exe().unwrap()).unwrap();
        assert!(own.total > 1 << 20 && own.parts.values().all(|bytes| *bytes <= own.total));
        assert!(!switches(std::process::id()).unwrap().is_empty());
    }
}
