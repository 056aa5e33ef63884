//! The few file operations that the log is made of, and who does them.

mod real;
mod simulated;

use std::{fmt, io, path::Path};

pub use real::RealFiles;
pub(crate) use real::read_full;
pub use simulated::{Cut, Failure, Operation, SimulatedFiles};

/// A file system, as far as the log needs one.
pub trait Files: Send + Sync + fmt::Debug {
    /// Creates a directory and those above it, unless they exist.
    ///
    /// # Errors
    /// What the operating system says; so everywhere here.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// The plain files of a directory.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>>;

    /// Creates a file, or empties one, and opens it for reading and writing.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// Opens a file that is only read: a file system that became read-only allows no more.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.open(path)
    }

    /// Gives a file another name; one that has it is gone.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory survive a power cut.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// A number that nobody outside can guess.
    fn secret(&self) -> u64;
}

/// A file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// A file that is open.
pub trait OpenFile: Send + fmt::Debug {
    /// Its length.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn size(&self) -> io::Result<u64>;

    /// Writes all of `bytes`; after an error any part of them may be there.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads until `into` is full or the file ends; returns how much there was.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Cuts the file off, or lengthens it by zeros that take no space.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Lengthens the file to `bytes` by zeros that do take space.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Makes the file's bytes and length survive a power cut.
    ///
    /// # Errors
    /// See [`Files::create_dir`]. The kernel may then have forgotten what was written.
    fn sync_data(&self) -> io::Result<()>;
}
