use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A users file, `name:hash` a line, edited in place: comments and order stay as they are.
#[derive(Debug)]
pub(crate) struct UsersFile {
    path: PathBuf,
    lines: Vec<String>,
    /// Mode and owner to keep; `None` for a new file.
    existing: Option<(u32, u32, u32)>,
}

/// Hashes are for the gateway alone: whoever reads them can guess at leisure.
const MODE: u32 = 0o600;

impl UsersFile {
    /// Reads the file.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(Failure::file("read", path))?;
        let found = fs::metadata(path).map_err(Failure::file("read", path))?;
        Ok(Self {
            path: path.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            existing: Some((found.mode() & 0o7777, found.uid(), found.gid())),
        })
    }

    /// Reads the file, or begins one.
    pub(crate) fn open_or_new(path: &Path) -> Result<Self, Failure> {
        match Self::open(path) {
            Err(Failure::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                let lines = vec![
                    "# name:argon2id-hash a line; `portcullis user add NAME --file FILE` writes them."
                        .to_owned(),
                ];
                Ok(Self { path: path.to_owned(), lines, existing: None })
            }
            other => other,
        }
    }

    /// Sets a user's hash; answers whether the user was there.
    pub(crate) fn set(&mut self, name: &str, hash: &str) -> Result<bool, Failure> {
        check_name(name)?;
        let line = format!("{name}:{hash}");
        let known = self.lines.iter_mut().find(|line| name_of(line) == Some(name));
        let was_there = known.is_some();
        match known {
            Some(old) => *old = line,
            None => self.lines.push(line),
        }
        Ok(was_there)
    }

    /// Removes a user; answers whether there was one.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| name_of(line) != Some(name));
        self.lines.len() < before
    }

    /// Replaces the file as a whole: a reader, or a power cut, meets the old one or the new one.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let aside = dir.join(format!(".{name}.{}.new", std::process::id()));
        let saved = self.write(&aside).and_then(|()| fs::rename(&aside, &self.path));
        if saved.is_err() {
            // What failed is reported; a leftover that cannot be removed either changes nothing.
            let _ = fs::remove_file(&aside);
        }
        saved.and_then(|()| File::open(dir)?.sync_all()).map_err(Failure::file("write", &self.path))
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
        if let Some((mode, uid, gid)) = self.existing {
            let made = file.metadata()?;
            if (made.uid(), made.gid()) != (uid, gid) {
                std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
            }
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        for line in &self.lines {
            writeln!(file, "{line}")?;
        }
        file.sync_all()
    }
}

/// The user that a line is about; none for comments and blank lines.
fn name_of(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    line.split_once(':').map(|(name, _)| name.trim())
}

/// A name must survive the users file and must be nameable in a rule of the ACL.
fn check_name(name: &str) -> Result<(), Failure> {
    let why = if name.is_empty() {
        "is empty"
    } else if name.starts_with('#') {
        "begins with \"#\", as comments do"
    } else if name.chars().any(|c| c == ':' || c.is_whitespace() || c.is_control()) {
        "holds a colon, a blank or a control character, which end a name in the file"
    } else {
        return Ok(());
    };
    Err(Failure::User(format!("user name {name:?} {why}; choose another one")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(text: &str, edit: impl FnOnce(&mut UsersFile)) -> (String, u32) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.txt");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut users = UsersFile::open(&path).unwrap();
        edit(&mut users);
        users.save().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
        let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
        (fs::read_to_string(&path).unwrap(), mode)
    }

    #[test]
    fn a_change_touches_its_line_only() {
        let text = "# ours\n\nann:1\n#ann:0\n bob : 2\n";
        let (after, mode) = saved(text, |users| {
            assert!(users.set("bob", "3").unwrap());
            assert!(!users.set("cid", "4").unwrap());
        });
        assert_eq!(after, "# ours\n\nann:1\n#ann:0\nbob:3\ncid:4\n");
        assert_eq!(mode, 0o640, "the operator's choice stays");
        let (after, _) = saved(text, |users| {
            assert!(users.remove("ann"));
            assert!(!users.remove("an"));
        });
        assert_eq!(after, "# ours\n\n#ann:0\n bob : 2\n");
    }

    #[test]
    fn a_new_file_is_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.txt");
        let mut users = UsersFile::open_or_new(&path).unwrap();
        users.set("ann", "1").unwrap();
        users.save().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(UsersFile::open(&dir.path().join("absent")).is_err());
    }

    #[test]
    fn names_that_would_break_the_file_are_refused() {
        let mut users = UsersFile { path: PathBuf::new(), lines: Vec::new(), existing: None };
        for name in ["", "#ann", "a:b", "a b", "a\nb:c", "a\tb", "a\u{7f}"] {
            assert!(users.set(name, "1").is_err(), "{name:?}");
        }
        assert!(users.set("pump-7@site_ä", "1").is_ok());
        assert_eq!(users.lines.len(), 1);
    }
}
