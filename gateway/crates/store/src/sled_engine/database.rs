use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use super::files::{LOCK_PATIENCE, LOCK_PAUSE, sync};
use crate::{StoreError, engine::VisitSome, error::no_space, key::Key};

/// One open sled database.
pub(super) struct Database {
    /// Taken only on drop.
    db: Option<sled::Db>,
    /// Own handle of the log file, for the sync that sled leaves out.
    log: File,
    path: PathBuf,
}

/// Why a database did not open.
pub(super) enum OpenError {
    /// The surroundings are to blame; the files may be sound.
    Environment(StoreError),
    /// The files are to blame.
    Unusable(String),
}

/// The action in which an input error means that a sector cannot be read any more.
pub(super) const READ: &str = "read";

/// Makes durable what a predecessor that was killed left to the operating system. When sled opens it writes a snapshot of
/// what it reads, and syncs that: it must not outlive what it is about. And without any snapshot sled
/// finds nothing behind a segment that has been used again, so its name has to be durable too.
fn settle(path: &Path) -> Result<(), StoreError> {
    let log = path.join("db");
    if log.exists() {
        sync(&log)?;
        sync(path)?;
    }
    Ok(())
}

impl Database {
    /// Opens or creates the database at `path`. Waits for sled's own lock as for the
    /// store's: whoever holds that one is the only one who may hold this.
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, OpenError> {
        let began = Instant::now();
        loop {
            let opened = Self::try_open(path, cache_bytes);
            let locked = matches!(&opened, Err(OpenError::Environment(error)) if is_lock(error));
            if !locked || began.elapsed() > LOCK_PATIENCE {
                return opened;
            }
            thread::sleep(LOCK_PAUSE);
        }
    }

    fn try_open(path: &Path, cache_bytes: u64) -> Result<Self, OpenError> {
        let config =
            sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
        settle(path).map_err(OpenError::Environment)?;
        let db = match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => db,
            Ok(Err(error)) => return Err(classify_open(error, path)),
            Err(panic) => return Err(OpenError::Unusable(panic_text(panic.as_ref()))),
        };
        // The snapshot that it has just made, before a segment is used again that only the one before needs.
        sync(path).map_err(OpenError::Environment)?;
        let log_path = path.join("db");
        let log = File::open(&log_path)
            .map_err(|error| OpenError::Environment(StoreError::io("open", log_path)(error)))?;
        Ok(Self { db: Some(db), log, path: path.to_owned() })
    }

    pub(super) fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.run(READ, |db| {
            for entry in db.iter() {
                let (key, value) = entry.map_err(StoreError::read)?;
                visit(&key, &value);
            }
            Ok(())
        })
    }

    pub(super) fn range(
        &self,
        from: &Key,
        prefix: &Key,
        visit: &mut VisitSome<'_>,
    ) -> Result<(), StoreError> {
        self.run(READ, |db| {
            for entry in db.range(from.as_bytes()..) {
                let (key, value) = entry.map_err(StoreError::read)?;
                if !key.starts_with(prefix.as_bytes()) || visit(&key, &value).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.run(READ, |db| {
            let value = db.get(key.as_bytes()).map_err(StoreError::read)?;
            Ok(value.map(|value| value.to_vec()))
        })
    }

    /// Applies `writes` as one batch: sled recovers all of a batch or none of it.
    pub(super) fn apply<'w>(
        &self,
        writes: impl IntoIterator<Item = (&'w Key, &'w Option<Vec<u8>>)>,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        let mut any = false;
        for (key, value) in writes {
            any = true;
            match value {
                Some(value) => batch.insert(key.as_bytes(), value.as_slice()),
                None => batch.remove(key.as_bytes()),
            }
        }
        if any { self.apply_batch(batch) } else { Ok(()) }
    }

    pub(super) fn apply_batch(&self, batch: sled::Batch) -> Result<(), StoreError> {
        self.run("write", |db| {
            db.apply_batch(batch).map_err(|error| StoreError::sled("write", error))
        })
    }

    /// Hands everything to the operating system.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.run("flush", |db| {
            db.flush().map(drop).map_err(|error| StoreError::sled("flush", error))
        })
    }

    /// Makes what was flushed survive a power cut.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.log.sync_data().map_err(StoreError::io("sync", self.path.join("db")))
    }

    /// Flushes, and syncs also what sled creates and never syncs: its settings and
    /// directories. For a database that is new.
    pub(super) fn make_durable(&self) -> Result<(), StoreError> {
        self.flush()?;
        for name in ["conf", "db", "blobs"] {
            let path = self.path.join(name);
            if path.exists() {
                sync(&path)?;
            }
        }
        sync(&self.path)
    }

    /// Runs `work`; a panic inside sled is damage.
    pub(super) fn run<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&sled::Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Engine { action, detail: "closed".to_owned() };
        let db = self.db.as_ref().ok_or_else(closed)?;
        catch_unwind(AssertUnwindSafe(|| work(db))).unwrap_or_else(|panic| {
            Err(StoreError::Damaged { action, detail: panic_text(panic.as_ref()) })
        })
    }
}

impl Drop for Database {
    /// sled writes as it closes, and unwraps what fails.
    fn drop(&mut self) {
        let db = self.db.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(db))) {
            drop(panic);
        }
    }
}

impl StoreError {
    pub(super) fn read(error: sled::Error) -> Self {
        Self::sled(READ, error)
    }

    fn sled(action: &'static str, error: sled::Error) -> Self {
        match error {
            sled::Error::Io(source) if no_space(source.kind()) => {
                Self::NoSpace { action, detail: source.to_string() }
            }
            sled::Error::Io(source) if environmental(&source) || action != READ => {
                Self::Engine { action, detail: source.to_string() }
            }
            other => Self::Damaged { action, detail: other.to_string() },
        }
    }
}

fn classify_open(error: sled::Error, path: &Path) -> OpenError {
    match error {
        sled::Error::Io(source) if environmental(&source) => {
            OpenError::Environment(StoreError::io("open", path)(source))
        }
        other => OpenError::Unusable(other.to_string()),
    }
}

/// Whether an error speaks of the machine rather than of the files' content.
fn environmental(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, Other, OutOfMemory, PermissionDenied, ReadOnlyFilesystem};
    const TOO_MANY_OPEN_FILES: [Option<i32>; 2] = [Some(23), Some(24)];
    no_space(error.kind())
        || matches!(
            error.kind(),
            NotFound | Other | OutOfMemory | PermissionDenied | ReadOnlyFilesystem
        )
        || TOO_MANY_OPEN_FILES.contains(&error.raw_os_error())
}

/// sled reports a held lock as an error of no kind.
fn is_lock(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { source, .. } if source.kind() == io::ErrorKind::Other)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the engine panicked").to_owned()
}
