use std::fs;

/// Where Linux counts for a process what it wrote.
const IO: &str = "/proc/self/io";

/// Bytes that the process had written to the device since it was started: the pages that it made
/// dirty, whole ones, so it is what a card has to take. What the file system writes for its own
/// books is not in it. `None` where nobody counts.
pub(crate) fn device_bytes() -> Option<u64> {
    // This is no disk: the kernel answers out of its memory.
    write_bytes(&fs::read_to_string(IO).ok()?)
}

fn write_bytes(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_written() {
        let io =
            "rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n";
        assert_eq!(write_bytes(io), Some(8192));
        assert_eq!(write_bytes("read_bytes: 3\n"), None);
    }
}
