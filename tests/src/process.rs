use std::fs;
use std::time::Duration;

/// Reads what the kernel has counted for a process.
#[derive(Clone, Copy, Debug)]
pub struct Meter(pub u32);

impl Meter {
    /// Bytes that the process had sent to storage, so far; also of one that has ended and is not waited for.
    pub fn disk_bytes(self) -> u64 {
        self.field("io", "write_bytes:")
    }

    /// Resident memory in KiB.
    pub fn resident_kib(self) -> u64 {
        self.field("status", "VmRSS:")
    }

    /// The most resident memory that it had since [`Meter::forget_peak`], in KiB.
    pub fn peak_resident_kib(self) -> u64 {
        self.field("status", "VmHWM:")
    }

    /// Starts the peak anew.
    pub fn forget_peak(self) {
        let path = format!("/proc/{}/clear_refs", self.0);
        fs::write(&path, "5").unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// CPU time of all its threads, so far, in steps of 10 ms.
    pub fn cpu(self) -> Duration {
        let text = self.text("stat");
        // The name is in parentheses and may hold anything; user and system time are the 12th and 13th word behind it.
        let words = text.rsplit_once(')').map_or("", |(_, words)| words).split_whitespace();
        let ticks: u64 = words.skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Whether the process has ended and is not waited for.
    pub fn is_dead(self) -> bool {
        self.text("status").lines().any(|line| line.starts_with("State:\tZ"))
    }

    fn field(self, file: &str, name: &str) -> u64 {
        let text = self.text(file);
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        let number = value.and_then(|value| value.split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("{name} is not in\n{text}"))
    }

    fn text(self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}
