use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::source::{Original, Source};
use crate::log::{Files, Listed, OpenFile, RealFiles, read_full};

/// The operating system's files, and among them some of others, under names of ours, that can
/// only be read.
#[derive(Debug)]
pub(super) struct PinnedFiles(Mutex<BTreeMap<PathBuf, Original>>);

impl PinnedFiles {
    /// The log's files of `source` that were not copied, as if they were in `log`.
    pub(super) fn new(source: &Source, log: &Path) -> Self {
        let originals = source.originals();
        Self(Mutex::new(originals.map(|(name, file)| (log.join(name), file)).collect()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Original>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for PinnedFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealFiles.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let mut listed = RealFiles.list(dir)?;
        for (path, original) in &*self.lock() {
            let name = path.file_name().and_then(|name| name.to_str());
            if let (true, Some(name)) = (path.parent() == Some(dir), name) {
                listed.push(Listed { name: name.to_owned(), bytes: original.bytes });
            }
        }
        Ok(listed)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        RealFiles.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let original = self.lock().get(path).cloned();
        let Some(original) = original else { return RealFiles.open(path) };
        let file = match original.file {
            Some(file) => file,
            None => Arc::new(File::open(&original.path)?),
        };
        Ok(Box::new(Pinned(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFiles.rename(from, to)
    }

    /// Forgets the name; the original stays.
    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.lock().remove(path).is_some() { Ok(()) } else { RealFiles.remove(path) }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealFiles.sync_dir(dir)
    }

    fn secret(&self) -> u64 {
        RealFiles.secret()
    }
}

#[derive(Debug)]
struct Pinned(Arc<File>);

impl OpenFile for Pinned {
    fn size(&self) -> io::Result<u64> {
        self.0.metadata().map(|meta| meta.len())
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        read_full(&self.0, into, offset)
    }

    fn set_len(&self, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn allocate(&self, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
