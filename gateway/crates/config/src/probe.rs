//! The files that a configuration names.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Answers what is at a path, so that checking a configuration needs no disk in tests.
pub trait FileProbe {
    /// What is at `path`. A file is opened for reading to see whether that is allowed.
    ///
    /// # Errors
    /// Why there is nothing that could be read.
    fn probe(&self, path: &Path) -> io::Result<Found>;

    /// The directory in which whoever starts the gateway has put secrets for it, if it has.
    fn credentials(&self) -> Option<PathBuf> {
        None
    }

    /// The user as which files are opened, where the system has such a number.
    fn uid(&self) -> Option<u32>;
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A file that can be read.
    File,
    /// A directory.
    Directory,
}

/// The real files.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl FileProbe for Disk {
    fn probe(&self, path: &Path) -> io::Result<Found> {
        if fs::metadata(path)?.is_dir() {
            return Ok(Found::Directory);
        }
        File::open(path).map(|_| Found::File)
    }

    /// As systemd says it (`LoadCredential=` of a unit).
    fn credentials(&self) -> Option<PathBuf> {
        std::env::var_os("CREDENTIALS_DIRECTORY").filter(|dir| !dir.is_empty()).map(PathBuf::from)
    }

    #[cfg(target_os = "linux")]
    fn uid(&self) -> Option<u32> {
        use std::os::unix::fs::MetadataExt;
        fs::metadata("/proc/self").ok().map(|process| process.uid())
    }

    #[cfg(not(target_os = "linux"))]
    fn uid(&self) -> Option<u32> {
        None
    }
}
