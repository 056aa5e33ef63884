//! A file that does not grow without end.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is put aside when it is full: `name` becomes `name.1`, which becomes `name.2`, and so on; the oldest
/// goes. Takes whole lines, and never divides one.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    kept: u32,
    /// `None` after a failure, until the next line tries again.
    file: Option<File>,
    bytes: u64,
}

impl RotatingFile {
    /// Opens the file, which only its owner can read, and goes on behind what is in it. It has at most `max_bytes`, but for a
    /// line that is longer, and so has each of the `kept` ones that were put aside.
    ///
    /// # Errors
    /// If it cannot be opened or made.
    pub fn open(path: &Path, max_bytes: u64, kept: u32) -> io::Result<Self> {
        let mut rotating = Self { path: path.to_owned(), max_bytes, kept, file: None, bytes: 0 };
        rotating.reopen()?;
        Ok(rotating)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        self.bytes = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        for number in (1..self.kept).rev() {
            // There may be fewer by now.
            let _ = fs::rename(self.aside(number), self.aside(number + 1));
        }
        match self.kept {
            0 => fs::remove_file(&self.path)?,
            _ => fs::rename(&self.path, self.aside(1))?,
        }
        self.reopen()
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.file.is_none() {
            self.reopen()?;
        }
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.bytes > 0 && self.bytes.saturating_add(length) > self.max_bytes {
            self.rotate()?;
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        file.write_all(line).inspect_err(|_| self.file = None)?;
        self.bytes = self.bytes.saturating_add(length);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder of its own, which goes with the value.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("portcullis-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn all_files_together_stay_within_their_bound() {
        let folder = Folder::new("rotating");
        let path = folder.0.join("decisions.jsonl");
        let mut file = RotatingFile::open(&path, 100, 2).unwrap();
        for number in 0..200 {
            file.write_all(format!("line {number:04}\n").as_bytes()).unwrap();
        }
        drop(file);
        let names = ["decisions.jsonl.2", "decisions.jsonl.1", "decisions.jsonl"];
        let texts = names.map(|name| fs::read_to_string(folder.0.join(name)).unwrap());
        assert!(texts.iter().all(|text| text.len() <= 100 && text.ends_with('\n')), "{texts:?}");
        let lines: Vec<String> = texts.concat().lines().map(str::to_owned).collect();
        let first = 200 - lines.len();
        let expected: Vec<String> =
            (first..200).map(|number| format!("line {number:04}")).collect();
        assert_eq!(lines, expected, "the latest, in their order, none twice");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 3);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn it_goes_on_after_a_start_and_after_a_failure() {
        let folder = Folder::new("reopened");
        let path = folder.0.join("log");
        RotatingFile::open(&path, 12, 1).unwrap().write_all(b"before\n").unwrap();
        let mut file = RotatingFile::open(&path, 12, 1).unwrap();
        file.write_all(b"after\n").unwrap();
        assert_eq!(fs::read_to_string(folder.0.join("log.1")).unwrap(), "before\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
        // A directory is in the way of the file that is put aside.
        fs::remove_file(folder.0.join("log.1")).unwrap();
        fs::create_dir_all(folder.0.join("log.1/x")).unwrap();
        assert!(file.write_all(b"no room\n").is_err());
        fs::remove_dir_all(folder.0.join("log.1")).unwrap();
        file.write_all(b"once more\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "once more\n");
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_to_be() {
        let folder = Folder::new("single");
        let path = folder.0.join("log");
        let mut file = RotatingFile::open(&path, 4, 0).unwrap();
        for line in ["a\n", "longer than that\n", "b\n"] {
            file.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "b\n");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }
}
