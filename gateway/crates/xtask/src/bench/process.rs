//! What the kernel counts for a broker and its disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::failure::Failure;

/// In which the kernel counts blocks and sectors, whatever a disk really has.
const SECTOR: u64 = 512;

/// A process whose counters are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(pub(super) u32);

impl Process {
    /// Bytes that it wrote to the device: the pages that it made dirty.
    pub(super) fn device_bytes(self) -> Result<u64, Failure> {
        self.field("io", "write_bytes:")
    }

    pub(super) fn rss_bytes(self) -> Result<u64, Failure> {
        Ok(self.field("status", "VmRSS:")? * 1024)
    }

    /// The most that it had since [`Process::forget_peak`].
    pub(super) fn peak_rss_bytes(self) -> Result<u64, Failure> {
        Ok(self.field("status", "VmHWM:")? * 1024)
    }

    /// Starts the peak anew: what a broker needed to start does not count.
    pub(super) fn forget_peak(self) -> Result<(), Failure> {
        let path = self.path("clear_refs");
        fs::write(&path, "5").map_err(Failure::file("write", Path::new(&path)))
    }

    fn path(self, file: &str) -> String {
        format!("/proc/{}/{file}", self.0)
    }

    fn field(self, file: &str, name: &str) -> Result<u64, Failure> {
        let path = self.path(file);
        let text = fs::read_to_string(&path).map_err(Failure::file("read", Path::new(&path)))?;
        field(&text, name).ok_or_else(|| Failure::Other(format!("{path} has no number {name}")))
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Bytes that the files below `folder` occupy; holes are free. Files that go meanwhile count for nothing.
pub(super) fn occupied(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => occupied(&entry.path()),
        Ok(found) => found.blocks() * SECTOR,
        Err(_) => 0,
    };
    entries.map_while(Result::ok).map(bytes).sum()
}

/// Bytes that were written to the disk that `path` is on, by everybody, file system included; `None` if no disk
/// counts for it.
pub(super) fn disk_bytes(path: &Path) -> Option<u64> {
    let device = fs::metadata(path).ok()?.dev();
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    let counted = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    sectors_written(&counted).map(|sectors| sectors * SECTOR)
}

/// The seventh number.
fn sectors_written(counted: &str) -> Option<u64> {
    counted.split_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        assert_eq!(field("VmHWM:\t   1234 kB\nVmRSS:\t   1000 kB\n", "VmRSS:"), Some(1000));
        assert_eq!(field("rchar: 1\nwrite_bytes: 8192\n", "write_bytes:"), Some(8192));
        assert_eq!(field("rchar: 1\n", "write_bytes:"), None);
        assert_eq!(sectors_written("1 2 3 4 5 6 77 8"), Some(77));
    }

    #[test]
    fn this_process_has_numbers() {
        let own = Process(std::process::id());
        assert!(own.rss_bytes().unwrap() > 0);
        assert!(own.peak_rss_bytes().unwrap() >= own.rss_bytes().unwrap() / 2);
    }
}
