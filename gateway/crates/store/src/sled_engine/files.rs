use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::StoreError;

/// How long a lock is waited for. One that a killed predecessor or a process being
/// forked holds goes away by itself.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(1);
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(20);

pub(super) fn take_lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let lock = File::create(&path).map_err(StoreError::io("create", &path))?;
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
            Err(TryLockError::WouldBlock) if began.elapsed() > LOCK_PATIENCE => {
                return Err(StoreError::Locked { dir: dir.to_owned() });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
        }
    }
}

pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", path))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(StoreError::io("rename", from))
}

pub(super) fn remove_dir(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
