//! The home of sled 0.34.
//!
//! What it does by itself is not enough: its flush ends in `sync_file_range`, which
//! promises nothing across a power cut; it never syncs what it creates; any failed
//! write makes it refuse everything until it is opened again; damage shows as a panic
//! as often as an error. So every batch ends in `fdatasync` of an own handle, new
//! files and their directories are synced once, a failure closes the database and the
//! next use opens it again, and panics are caught.
//!
//! Inside the store's directory: `lock`, `sled/` (the database), `mark` (see
//! [`mark`]), `sled.begin/`, `sled.new/` and `sled.old/` while one is begun or copied,
//! `damaged-<unix seconds>/` (kept for people).

mod copy;
mod database;
mod files;
mod mark;
mod serve;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::SystemTime,
};

use copy::Copied;
use database::{Database, OpenError};
use files::{remove_dir, rename, sync, take_lock};
use mark::Mark;

use crate::{
    Incident, StoreError,
    engine::{Marks, Writes},
    numbers::Numbers,
};

const LIVE: &str = "sled";
/// What the name of a damaged database begins with.
pub(crate) const ASIDE: &str = "damaged-";
/// Damaged databases kept at a time.
const KEPT_ASIDE: usize = 3;
const BEGUN: &str = "sled.begin";
const COPY: &str = "sled.new";
const OUTGOING: &str = "sled.old";

pub(crate) struct SledEngine {
    dir: PathBuf,
    /// Page cache in bytes.
    cache_bytes: u64,
    /// `None` after a failure, until the next use.
    database: Option<Database>,
    /// Whether a sync failed, after which the kernel may have forgotten pages that it
    /// will not try to write again: only a copy is then known to be on disk.
    distrusted: bool,
    incidents: Vec<Incident>,
    mark: Mark,
    _lock: File,
}

impl SledEngine {
    /// Opens the database in `dir`, creating both if need be. A database that cannot be opened is
    /// renamed aside and another is begun.
    ///
    /// # Errors
    /// When another process has it open, or the operating system denies access to `dir` or has no
    /// space for it. Damage is no error.
    pub(crate) fn open(dir: PathBuf, cache_bytes: u64) -> Result<Self, StoreError> {
        fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync(parent)?;
        }
        let lock = take_lock(&dir)?;
        let mark = Mark::open(&dir.join("mark"))?;
        let mut engine = Self {
            dir,
            cache_bytes,
            database: None,
            distrusted: false,
            incidents: Vec::new(),
            mark,
            _lock: lock,
        };
        engine.finish_interrupted_copy()?;
        if !engine.live().exists() {
            engine.begin()?;
            return Ok(engine);
        }
        match Database::open(&engine.live(), cache_bytes) {
            Ok(database) => engine.database = Some(database),
            Err(OpenError::Environment(error)) => return Err(error),
            Err(OpenError::Unusable(reason)) => engine.begin_again(&reason)?,
        }
        Ok(engine)
    }

    fn live(&self) -> PathBuf {
        self.dir.join(LIVE)
    }

    /// Begins an empty database under another name: one that bears the live name was
    /// complete once, so that finding nothing in it means damage.
    fn begin(&mut self) -> Result<(), StoreError> {
        let path = self.dir.join(BEGUN);
        remove_dir(&path)?;
        let fresh = self.open_new(&path)?;
        let mut first = Writes::new();
        Numbers::default().put(&mut first);
        fresh.apply(&first)?;
        fresh.make_durable()?;
        drop(fresh);
        self.mark.set(Marks::default());
        self.take_over(&path)
    }

    /// The database was unusable. Its settings file alone may be to blame: it is
    /// small, always the same, and never synced by sled. So may be the snapshot that
    /// sled starts reading from; without it the log is read from its beginning.
    fn begin_again(&mut self, reason: &str) -> Result<(), StoreError> {
        let conf = self.live().join("conf");
        if fs::remove_file(&conf).is_ok()
            && let Ok(database) = Database::open(&self.live(), self.cache_bytes)
        {
            database.make_durable()?;
            self.database = Some(database);
            self.incidents.push(Incident::SettingsRewritten { reason: reason.to_owned() });
            return Ok(());
        }
        let path = self.set_aside()?;
        let salvaged = self.revive(&path).unwrap_or(0);
        if salvaged == 0 {
            self.begin()?;
        }
        self.incidents.push(Incident::SetAside { path, reason: reason.to_owned(), salvaged });
        Ok(())
    }

    /// Tries a copy of a damaged database's log alone; returns how many records it
    /// holds.
    fn revive(&mut self, aside: &Path) -> Result<u64, StoreError> {
        let path = self.dir.join(COPY);
        remove_dir(&path)?;
        fs::create_dir(&path).map_err(StoreError::io("create", &path))?;
        fs::copy(aside.join("db"), path.join("db")).map_err(StoreError::io("copy", &path))?;
        let mut records = 0;
        let revived = self.open_new(&path).and_then(|database| {
            let read = database.scan(&mut |_, _| records += 1);
            database.make_durable()?;
            read.or_else(|error| if records > 0 { Ok(()) } else { Err(error) })
        });
        if revived.is_ok() && records > 0 {
            self.take_over(&path)?;
            Ok(records)
        } else {
            remove_dir(&path)?;
            Ok(0)
        }
    }

    fn open_new(&self, path: &Path) -> Result<Database, StoreError> {
        Database::open(path, self.cache_bytes).map_err(|error| match error {
            OpenError::Environment(error) => error,
            OpenError::Unusable(detail) => StoreError::Engine { action: "create", detail },
        })
    }

    /// Opens the live database, for which there is no other way left.
    fn open_live(&self) -> Result<Database, StoreError> {
        Database::open(&self.live(), self.cache_bytes).map_err(|error| match error {
            OpenError::Environment(error) => error,
            OpenError::Unusable(detail) => StoreError::Damaged { action: "open", detail },
        })
    }

    /// The database, opened again if a failure closed it.
    fn database(&mut self) -> Result<&Database, StoreError> {
        if self.database.is_none()
            && let Err(error) = self.reopen()
        {
            self.database = None;
            return Err(error);
        }
        let closed = || StoreError::Engine { action: "open", detail: "closed".to_owned() };
        self.database.as_ref().ok_or_else(closed)
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        self.finish_interrupted_copy()?;
        self.database = Some(self.open_live()?);
        if self.distrusted {
            self.replace_by_copy()?;
            self.distrusted = false;
        }
        Ok(())
    }

    /// Runs one use of the database; a failure closes it.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = work(self.database()?);
        if result.is_err() {
            self.database = None;
        }
        result
    }

    /// Copies what is readable into a new database beside the live one.
    fn copy(&mut self) -> Result<Copied, StoreError> {
        let path = self.dir.join(COPY);
        remove_dir(&path)?;
        self.database()?;
        let copy = self.open_new(&path)?;
        copy::copy(self.database()?, &copy)
    }

    /// Replaces the live database by a complete copy.
    fn replace_by_copy(&mut self) -> Result<(), StoreError> {
        if let Some(damage) = self.copy()?.damage {
            return Err(damage);
        }
        self.swap()
    }

    /// Puts the closed, complete copy in the place of the live database.
    fn swap(&mut self) -> Result<(), StoreError> {
        self.database = None;
        let outgoing = self.dir.join(OUTGOING);
        remove_dir(&outgoing)?;
        rename(&self.live(), &outgoing)?;
        self.take_over(&self.dir.join(COPY))?;
        remove_dir(&outgoing)
    }

    /// Makes the closed, complete database at `path` the live one.
    fn take_over(&mut self, path: &Path) -> Result<(), StoreError> {
        rename(path, &self.live())?;
        sync(&self.dir)?;
        self.database = Some(self.open_live()?);
        Ok(())
    }

    /// A copy is complete before the live database is renamed: where there is no live
    /// one, the copy is it.
    fn finish_interrupted_copy(&self) -> Result<(), StoreError> {
        let (live, copy) = (self.live(), self.dir.join(COPY));
        if copy.exists() {
            if live.exists() {
                remove_dir(&copy)?;
            } else {
                rename(&copy, &live)?;
                sync(&self.dir)?;
            }
        }
        remove_dir(&self.dir.join(OUTGOING))
    }

    /// Renames the live database to a name that says when; of older ones, the newest
    /// are kept.
    fn set_aside(&mut self) -> Result<PathBuf, StoreError> {
        self.database = None;
        let mut kept = self.damaged();
        kept.sort();
        for path in kept.iter().rev().skip(KEPT_ASIDE - 1) {
            remove_dir(path)?;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = now.map_or(0, |since| since.as_secs());
        let name = |at: u64| self.dir.join(format!("{ASIDE}{at}"));
        let free = (seconds..).map(name).find(|path| !path.exists());
        let path = free.unwrap_or_else(|| name(seconds));
        rename(&self.live(), &path)?;
        sync(&self.dir)?;
        Ok(path)
    }

    fn damaged(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let names = entries.filter_map(Result::ok);
        names
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(ASIDE))
            .map(|entry| entry.path())
            .collect()
    }
}
