use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::StoreError;

/// A directory of our own, for nobody else to read; it goes with this value.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

/// Names that are tried.
const TRIES: u32 = 1000;

impl Scratch {
    pub(super) fn create(parent: &Path) -> Result<Self, StoreError> {
        let name = |n| parent.join(format!("portcullis-store-{}-{n}", std::process::id()));
        for path in (0..TRIES).map(name) {
            // It is created, never taken over: whoever guessed the name gains nothing.
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::io("create", path)(error)),
            }
        }
        Err(StoreError::io("create", parent)(ErrorKind::AlreadyExists.into()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever tidies the directory for temporary files.
        drop(fs::remove_dir_all(&self.0));
    }
}
