//! What a private authority has issued and revoked, as a text file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{PkiError, Reason, files};
use crate::utc::utc;

/// Each certificate that was issued by `portcullis cert`, or revoked, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Index {
    path: PathBuf,
    pub(super) entries: Vec<Entry>,
}

/// One certificate of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Serial number in lower-case hexadecimal.
    pub serial: String,
    /// When it was revoked, in seconds since 1970 UTC, and why; `None` as long as it counts.
    pub revoked: Option<(u64, Reason)>,
    /// When it ends, in seconds since 1970 UTC.
    pub not_after_unix_s: u64,
    /// `server` or `client`.
    pub purpose: String,
    /// Its subject.
    pub subject: String,
}

const HEAD: &str = "\
# Certificates of this authority, written by `portcullis cert`. A line has, between tabs: serial number,
# when it ends (seconds since 1970), \"valid\" or when it was revoked (seconds since 1970), the reason or \"-\",
# what it is for, its subject, its end as a date for people.
";

impl Index {
    /// Reads the index of an authority; one that does not exist is empty.
    pub(super) fn open(dir: &Path) -> Result<Self, PkiError> {
        let path = dir.join("index.txt");
        let mut index = Self { path, entries: Vec::new() };
        if !index.path.exists() {
            return Ok(index);
        }
        let text = files::read(&index.path)?;
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // A line that is skipped could be a revocation that is forgotten.
            let entry = entry(line).ok_or_else(|| PkiError::Unusable {
                path: index.path.clone(),
                reason: format!("line {number} is not as `portcullis cert` writes it"),
            })?;
            index.entries.push(entry);
        }
        Ok(index)
    }

    pub(super) fn save(&self) -> Result<(), PkiError> {
        let mut text = HEAD.to_owned();
        for entry in &self.entries {
            let (revoked, reason) = match entry.revoked {
                None => ("valid".to_owned(), "-"),
                Some((when, reason)) => (when.to_string(), reason.as_str()),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{}\t{}\t{revoked}\t{reason}\t{}\t{}\t{}",
                entry.serial,
                entry.not_after_unix_s,
                entry.purpose,
                entry.subject.replace(['\t', '\n', '\r'], " "),
                utc(i64::try_from(entry.not_after_unix_s).unwrap_or(i64::MAX)),
            );
        }
        files::replace(&self.path, text.as_bytes(), files::PUBLIC)
    }

    /// The entry with this serial number, in whatever way it is written.
    pub(super) fn find(&mut self, serial: &str) -> Option<&mut Entry> {
        let wanted = plain_serial(serial);
        self.entries.iter_mut().find(|entry| plain_serial(&entry.serial) == wanted)
    }
}

/// Without the colons, the prefix, the capitals and the leading zeros that tools differ in.
fn plain_serial(serial: &str) -> String {
    let text: String = serial.chars().filter(|c| *c != ':').collect::<String>().to_lowercase();
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    digits.trim_start_matches('0').to_owned()
}

fn entry(line: &str) -> Option<Entry> {
    let mut fields = line.split('\t');
    let serial = fields.next()?;
    let hex = !serial.is_empty() && serial.bytes().all(|byte| byte.is_ascii_hexdigit());
    let not_after_unix_s = fields.next()?.parse().ok()?;
    let (revoked, reason) = (fields.next()?, fields.next()?);
    let revoked = match revoked {
        "valid" => None,
        when => Some((when.parse().ok()?, Reason::named(reason)?)),
    };
    let (purpose, subject) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    hex.then(|| Entry { serial: serial.to_owned(), revoked, not_after_unix_s, purpose, subject })
}

/// The bytes of a serial number in hexadecimal.
pub(super) fn serial_bytes(serial: &str) -> Option<Vec<u8>> {
    let serial =
        if serial.len().is_multiple_of(2) { serial.to_owned() } else { format!("0{serial}") };
    let byte = |at: usize| u8::from_str_radix(serial.get(at..at + 2)?, 16).ok();
    (0..serial.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = Index::open(dir.path()).unwrap();
        let valid = Entry {
            serial: "4a0b".to_owned(),
            revoked: None,
            not_after_unix_s: 7,
            purpose: "client".to_owned(),
            subject: "CN=a b".to_owned(),
        };
        let revoked = Entry {
            serial: "ff".to_owned(),
            revoked: Some((5, Reason::KeyCompromise)),
            ..valid.clone()
        };
        index.entries = vec![valid.clone(), revoked.clone()];
        index.save().unwrap();
        let mut index = Index::open(dir.path()).unwrap();
        assert_eq!(index.entries, [valid, revoked]);
        for serial in ["4a0b", "4A:0B", "0x4a0b", "004A0B"] {
            assert_eq!(index.find(serial).map(|entry| &*entry.serial), Some("4a0b"), "{serial}");
        }
        assert!(index.find("4a").is_none());

        std::fs::write(&index.path, "4a0b\tvalid\n").unwrap();
        let error = Index::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("index.txt") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn serial_numbers_are_bytes() {
        assert_eq!(serial_bytes("4a0b"), Some(vec![0x4a, 0x0b]));
        assert_eq!(serial_bytes("f"), Some(vec![0x0f]));
        assert_eq!(serial_bytes("xy"), None);
    }
}
