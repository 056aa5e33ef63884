//! Each file in `tests/faults` is a configuration with faults. The lines that start with `#!` say
//! what the report must be, whole and in order.

use std::io;
use std::path::Path;

use portcullis_config::{FileProbe, Found, parse};

/// Files that are called after what is to become of them.
struct Named;

impl FileProbe for Named {
    fn probe(&self, path: &Path) -> io::Result<Found> {
        let path = path.to_string_lossy();
        if path.contains("missing") {
            Err(io::ErrorKind::NotFound.into())
        } else if path.contains("forbidden") {
            Err(io::ErrorKind::PermissionDenied.into())
        } else if path.contains("directory") {
            Ok(Found::Directory)
        } else {
            Ok(Found::File)
        }
    }

    fn uid(&self) -> Option<u32> {
        Some(998)
    }
}

#[test]
fn every_fault_is_reported_at_once_with_its_line() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let mut files: Vec<_> =
        std::fs::read_dir(&cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "{} cases", files.len());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let expected: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("#! ")).collect();
        //ASSERT
        let report = match parse(&text, Path::new("gateway.toml"), &Named) {
            Ok(checked) => panic!("{} has no fault: {checked:?}", path.display()),
            Err(report) => report,
        };
        assert_eq!(report.to_string(), expected.join("\n"), "{}:\n{report}", path.display());
        assert_eq!(report.errors().len(), expected.len(), "{}", path.display());
    }
}
