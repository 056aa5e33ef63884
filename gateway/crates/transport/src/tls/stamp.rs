//! How files look from outside.

use std::fs;
use std::path::Path;

use crate::settings::TlsSettings;

/// How some files look from outside: two stamps differ if one of the files has been written, or
/// replaced by a rename or through a symbolic link, between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Vec<Option<Look>>);

/// A file's identity, length and times; a time alone is too coarse on some file systems, and is
/// restored by some tools.
#[cfg(unix)]
type Look = (u64, u64, u64, (i64, i64), (i64, i64));
#[cfg(not(unix))]
type Look = (u64, Option<std::time::SystemTime>);

impl Stamp {
    /// Of every file that the settings name.
    pub(crate) fn of_all(settings: &TlsSettings) -> Self {
        let more = settings.more.iter().flat_map(|files| [&files.cert, &files.key]);
        let files = [&settings.cert, &settings.key].into_iter().chain(more);
        let files = files.chain(&settings.client_ca).chain(&settings.client_crls);
        Self::of_files(files.map(std::path::PathBuf::as_path))
    }

    /// Of these files. One that is not there has a look of its own.
    pub fn of_files<'a>(files: impl Iterator<Item = &'a Path>) -> Self {
        Self(files.map(look).collect())
    }
}

#[cfg(unix)]
fn look(path: &Path) -> Option<Look> {
    use std::os::unix::fs::MetadataExt;
    let file = fs::metadata(path).ok()?;
    let (modified, changed) =
        ((file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()));
    Some((file.dev(), file.ino(), file.len(), modified, changed))
}

#[cfg(not(unix))]
fn look(path: &Path) -> Option<Look> {
    let file = fs::metadata(path).ok()?;
    Some((file.len(), file.modified().ok()))
}
