use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use crate::{StoreError, log::segment_number};

/// What was taken of a store's directory, all at one moment.
#[derive(Debug, Default)]
pub(super) struct Source {
    segments: BTreeMap<u32, Original>,
    pub(super) engine_bytes: u64,
    pub(super) reserve_bytes: u64,
    pub(super) aside_bytes: u64,
}

/// A file of the log.
#[derive(Clone, Debug)]
pub(super) struct Original {
    pub(super) path: PathBuf,
    /// Open, so that it can be read when its gateway has removed it; `None` of one that was
    /// copied, and of those that are too many.
    pub(super) file: Option<Arc<File>>,
    copied: bool,
    /// Its length.
    pub(super) bytes: u64,
    /// Bytes that it occupies.
    occupied: u64,
    modified: Option<SystemTime>,
}

/// The database, and what may be in its place while it is replaced by a copy.
const DATABASES: [&str; 2] = ["sled", "sled.new"];
/// For how long the database must not have been written to be copied: file systems tell times to
/// a few milliseconds.
const QUIET: Duration = Duration::from_millis(30);
/// How often that is tried; a checkpoint takes a fraction of a second.
const TRIES: u32 = 300;
/// After how many there is no database, if there was none.
const GONE: u32 = 5;
/// Files of the log that are kept open; of more than these, those are opened when they are read.
const PINNED: usize = 768;

/// Whether there is a store in `dir`.
pub(crate) fn is_there(dir: &Path) -> bool {
    DATABASES.iter().any(|name| dir.join(name).join("db").is_file())
}

impl Source {
    /// Copies the database of the store in `dir` into `to`, and pins its log.
    pub(super) fn copy(dir: &Path, to: &Path) -> Result<Self, StoreError> {
        let mut last = None;
        for attempt in 0..TRIES {
            if attempt > 0 {
                thread::sleep(QUIET);
            }
            match Self::try_copy(dir, to) {
                Ok(Some(source)) => return Ok(source),
                Ok(None) => {}
                // A gateway that replaces its database renames it.
                Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    if attempt >= GONE && !is_there(dir) {
                        return Err(StoreError::Absent { dir: dir.to_owned() });
                    }
                    last = Some(source);
                }
                Err(error) => return Err(error),
            }
        }
        let detail = match last {
            Some(error) => error.to_string(),
            None => "its gateway writes it without a pause; try again later".to_owned(),
        };
        Err(StoreError::Engine { action: "copy the database", detail })
    }

    /// `None`, if the database was written meanwhile.
    fn try_copy(dir: &Path, to: &Path) -> Result<Option<Self>, StoreError> {
        let Some(database) = DATABASES.iter().map(|name| dir.join(name)).find(|it| it.is_dir())
        else {
            return Err(StoreError::io("open", dir.join("sled"))(ErrorKind::NotFound.into()));
        };
        let before = State::of(&database)?;
        if !before.is_quiet() {
            return Ok(None);
        }
        // The mark says what is durable at least: it is to be no newer than the rest.
        copy_if_there(&dir.join("mark"), &to.join("mark"))?;
        copy_database(&database, &to.join("sled"))?;
        let log = to.join("log");
        if log.exists() {
            fs::remove_dir_all(&log).map_err(StoreError::io("remove", &log))?;
        }
        fs::create_dir(&log).map_err(StoreError::io("create", &log))?;
        let mut source = Self { segments: pin(&dir.join("log"), &log)?, ..Self::default() };
        if State::of(&database)? != before {
            return Ok(None);
        }
        source.engine_bytes = before.bytes;
        source.reserve_bytes = fs::metadata(dir.join("reserve")).map_or(0, |it| occupied(&it));
        source.aside_bytes = aside_bytes(dir);
        Ok(Some(source))
    }

    /// Those that were not copied, by name.
    pub(super) fn originals(&self) -> impl Iterator<Item = (String, Original)> {
        let pinned = self.segments.iter().filter(|(_, original)| !original.copied);
        pinned.map(|(number, original)| (format!("{number:08}.seg"), original.clone()))
    }

    /// Bytes that a file of the log occupies.
    pub(super) fn segment_bytes(&self, number: u32) -> Option<u64> {
        self.segments.get(&number).map(|original| original.occupied)
    }

    /// When a file of the log was written last.
    pub(super) fn modified(&self, number: u32) -> Option<SystemTime> {
        self.segments.get(&number).and_then(|original| original.modified)
    }
}

/// What shows whether a database was written.
#[derive(PartialEq, Eq)]
struct State {
    bytes: u64,
    inode: u64,
    written: (i64, i64),
    modified: Option<SystemTime>,
}

impl State {
    fn of(database: &Path) -> Result<Self, StoreError> {
        let path = database.join("db");
        let meta = fs::metadata(&path).map_err(StoreError::io("open", path))?;
        Ok(Self {
            bytes: meta.len(),
            inode: meta.ino(),
            written: (meta.mtime(), meta.mtime_nsec()),
            modified: meta.modified().ok(),
        })
    }

    /// A time in the future is one that was set, or the clock was: it tells nothing.
    fn is_quiet(&self) -> bool {
        let since = self.modified.and_then(|modified| modified.elapsed().ok());
        since.is_none_or(|since| since >= QUIET)
    }
}

fn copy_if_there(from: &Path, to: &Path) -> Result<(), StoreError> {
    match fs::copy(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StoreError::io("copy", from)(error))
        }
        _ => Ok(()),
    }
}

fn copy_database(from: &Path, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(StoreError::io("remove", to))?;
    }
    fs::create_dir(to).map_err(StoreError::io("create", to))?;
    for entry in fs::read_dir(from).map_err(StoreError::io("list", from))? {
        let entry = entry.map_err(StoreError::io("list", from))?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_database(&path, &to)?;
        } else {
            fs::copy(&path, &to).map_err(StoreError::io("copy", path))?;
        }
    }
    Ok(())
}

/// Opens the log's files; the newest is copied, since it is repaired when it is read, and may be
/// appended to.
fn pin(log: &Path, to: &Path) -> Result<BTreeMap<u32, Original>, StoreError> {
    let listed = match fs::read_dir(log) {
        // A store of format 1 has none.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        listed => listed.map_err(StoreError::io("list", log))?,
    };
    let mut segments = BTreeMap::new();
    for entry in listed {
        let entry = entry.map_err(StoreError::io("list", log))?;
        let number = entry.file_name().to_str().and_then(segment_number);
        let Some(number) = number else { continue };
        let path = entry.path();
        let opened = File::open(&path).and_then(|file| file.metadata().map(|meta| (file, meta)));
        let (file, meta) = match opened {
            Ok(opened) => opened,
            // Nothing needed it any more.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::io("open", path)(error)),
        };
        let original = Original {
            path,
            file: (segments.len() < PINNED).then(|| Arc::new(file)),
            copied: false,
            bytes: meta.len(),
            occupied: occupied(&meta),
            modified: meta.modified().ok(),
        };
        segments.insert(number, original);
    }
    if let Some((number, newest)) = segments.iter_mut().next_back() {
        let to = to.join(format!("{number:08}.seg"));
        copy_from_its_end(&newest.path, &to).map_err(StoreError::io("copy", &newest.path))?;
        (newest.copied, newest.file) = (true, None);
    }
    Ok(segments)
}

/// Copies a file that is appended to: where something is copied, so is all that was there when it
/// was appended.
fn copy_from_its_end(from: &Path, to: &Path) -> io::Result<()> {
    const PIECE: u64 = 64 << 10;
    let (from, to) = (File::open(from)?, File::create_new(to)?);
    let bytes = from.metadata()?.len();
    to.set_len(bytes)?;
    let mut piece = vec![0; PIECE as usize];
    for start in (0..bytes.div_ceil(PIECE)).rev().map(|at| at * PIECE) {
        let len = usize::try_from(PIECE.min(bytes - start)).unwrap_or(0);
        let piece = &mut piece[..len];
        match from.read_exact_at(piece, start) {
            // It was made longer ahead, and cut off when another was begun.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                let left = from.metadata()?.len().saturating_sub(start).min(len as u64);
                let left = usize::try_from(left).unwrap_or(0);
                from.read_exact_at(&mut piece[..left], start)?;
                piece[left..].fill(0);
            }
            read => read?,
        }
        if piece.iter().any(|byte| *byte != 0) {
            to.write_all_at(piece, start)?;
        }
    }
    Ok(())
}

/// Bytes that a file occupies; what was made longer ahead takes none.
fn occupied(meta: &Metadata) -> u64 {
    meta.len().min(meta.blocks() * 512)
}

fn aside_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let aside = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(crate::sled_engine::ASIDE));
    aside.map(|entry| fs::metadata(entry.path().join("db")).map_or(0, |it| it.len())).sum()
}
