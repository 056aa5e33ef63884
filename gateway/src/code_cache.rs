//! The directory with compiled code, which only the gateway's user may write.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use extension_host::SealKey;

use crate::secret;

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Modes that let others than the owner write, and that let them do anything.
const OTHERS_WRITE: u32 = 0o022;
const OTHERS: u32 = 0o077;

const KEY: &str = "key";
/// What files with code end in, here and where code is brought.
pub(crate) const CODE: &str = ".code";
const ASIDE: &str = ".new";

/// Bytes of one file at most: twice what the largest component compiles to.
pub(crate) const FILE_BYTES_MAX: u64 = 384 << 20;

/// How long the use of a file is not noted again: a note writes to the disk, and is there to tell what is in use from
/// what is not.
const NOTED: Duration = Duration::from_secs(24 * 3_600);

/// Compiled code between two starts. What it hands out is right only if its seal is: see the crate `extension-host`.
#[derive(Debug)]
pub(crate) struct CodeCache {
    dir: PathBuf,
    /// Whose files they must be.
    uid: u32,
    /// Bytes of all code together at most.
    most: u64,
    key: SealKey,
    /// Whether it may change what is there.
    writes: bool,
}

impl CodeCache {
    /// Opens the directory, or makes it, and the key in it.
    ///
    /// # Errors
    /// Why it is not to be trusted or cannot be made, in words for the log.
    pub(crate) fn open(data: &Path, most: u64) -> Result<Self, String> {
        let (dir, uid) = (data.join("compiled"), own_uid()?);
        let made = DirBuilder::new().recursive(true).mode(DIR_MODE).create(&dir);
        made.map_err(|error| format!("{} cannot be made ({error})", dir.display()))?;
        check_dir(&dir, uid)?;
        let key = match read_key(&dir, uid)? {
            Some(key) => key,
            None => make_key(&dir)?,
        };
        Ok(Self { dir, uid, most, key, writes: true })
    }

    /// Opens what is there, and leaves it as it is; none if there is nothing.
    ///
    /// # Errors
    /// Why it is not to be trusted.
    pub(crate) fn look(data: &Path) -> Result<Option<Self>, String> {
        let (dir, uid) = (data.join("compiled"), own_uid()?);
        if fs::symlink_metadata(&dir).is_err() {
            return Ok(None);
        }
        check_dir(&dir, uid)?;
        let key = read_key(&dir, uid)?;
        Ok(key.map(|key| Self { dir, uid, most: 0, key, writes: false }))
    }

    pub(crate) fn key(&self) -> &SealKey {
        &self.key
    }

    /// What is under a name, whole.
    ///
    /// # Errors
    /// Why it was not read, in words for the log.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        check_dir(&self.dir, self.uid)?;
        let path = self.dir.join(format!("{name}{CODE}"));
        let Some((file, about)) = open_own(&path, self.uid, OTHERS_WRITE)? else {
            return Ok(None);
        };
        let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or_default());
        let read = (&file).take(FILE_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|error| format!("{} cannot be read ({error})", path.display()))?;
        let now = SystemTime::now();
        let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if self.writes && now.duration_since(used).is_ok_and(|age| age > NOTED) {
            // Without the note it may go sooner than others, and is then compiled again.
            let _ = file.set_modified(now);
        }
        Ok(Some(bytes))
    }

    /// Keeps bytes under a name, and removes what was not used for longest while there is too much.
    ///
    /// # Errors
    /// Why they are not kept.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        if !self.writes {
            return Ok(());
        }
        check_dir(&self.dir, self.uid)?;
        let size = bytes.len() as u64;
        if size > self.most.min(FILE_BYTES_MAX) {
            return Err(format!(
                "it has {size} bytes, and compiler.cache-size is {}; raise it",
                self.most
            ));
        }
        let file = format!("{name}{CODE}");
        let fault =
            |error: io::Error| format!("{} cannot be written ({error})", self.dir.display());
        self.make_room(size, &file).map_err(fault)?;
        put(&self.dir, &file, bytes).map_err(fault)
    }

    /// Removes code until `size` more bytes have room, and what an interrupted write left behind.
    fn make_room(&self, size: u64, except: &str) -> io::Result<()> {
        let (mut files, mut total) = (Vec::new(), size);
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if name.ends_with(ASIDE) {
                fs::remove_file(&path)?;
            } else if name.ends_with(CODE) && name != except {
                let about = entry.metadata()?;
                total += about.len();
                files.push((about.modified()?, about.len(), path));
            }
        }
        files.sort();
        for (_, len, path) in files {
            if total <= self.most {
                break;
            }
            fs::remove_file(&path)?;
            tracing::info!(file = %path.display(), bytes = len, "compiled code removed to make room");
            total -= len;
        }
        Ok(())
    }
}

/// The user that this process runs as.
fn own_uid() -> Result<u32, String> {
    let about = fs::metadata("/proc/self");
    about.map(|about| about.uid()).map_err(|error| format!("/proc/self is not readable ({error})"))
}

fn check_dir(dir: &Path, uid: u32) -> Result<(), String> {
    let shown = dir.display();
    let about = fs::symlink_metadata(dir).map_err(|error| format!("{shown} is gone ({error})"))?;
    if !about.is_dir() {
        return Err(format!("{shown} is not a directory; remove it"));
    }
    check_rights(dir, &about, uid, OTHERS_WRITE)
}

fn check_rights(path: &Path, about: &Metadata, uid: u32, denied: u32) -> Result<(), String> {
    let (shown, owner, mode) = (path.display(), about.uid(), about.mode() & 0o777);
    if owner != uid {
        return Err(format!(
            "{shown} belongs to uid {owner}, not to the gateway's, {uid}; remove it"
        ));
    }
    if mode & denied != 0 {
        let verb = if denied == OTHERS_WRITE { "written" } else { "read" };
        return Err(format!(
            "{shown} has mode {mode:o} and can be {verb} by others; remove it, or run chmod go-rwx and remove \
             what is in it"
        ));
    }
    Ok(())
}

/// Opens a file if it is one, and of `uid`, and others have not the rights in `denied`; never what a link points to.
/// None if there is none.
fn open_own(path: &Path, uid: u32, denied: u32) -> Result<Option<(File, Metadata)>, String> {
    let shown = path.display();
    let seen = match fs::symlink_metadata(path) {
        Ok(seen) => seen,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{shown} cannot be read ({error})")),
    };
    if !seen.is_file() {
        return Err(format!("{shown} is a link or no file"));
    }
    let opened = File::open(path).and_then(|file| file.metadata().map(|about| (file, about)));
    let (file, about) = opened.map_err(|error| format!("{shown} cannot be read ({error})"))?;
    if (about.dev(), about.ino()) != (seen.dev(), seen.ino()) {
        return Err(format!("{shown} was exchanged while it was opened"));
    }
    check_rights(path, &about, uid, denied)?;
    if about.len() > FILE_BYTES_MAX {
        return Err(format!("{shown} has {} bytes, more than any code", about.len()));
    }
    Ok(Some((file, about)))
}

/// The key, if there is a whole one. One that was cut short by a power cut has sealed nothing.
fn read_key(dir: &Path, uid: u32) -> Result<Option<SealKey>, String> {
    let path = dir.join(KEY);
    let Some((file, _)) = open_own(&path, uid, OTHERS)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = file.take(SealKey::BYTES as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("{} cannot be read ({error})", path.display()))?;
    Ok(bytes.try_into().ok().map(SealKey::new))
}

fn make_key(dir: &Path) -> Result<SealKey, String> {
    let bytes = secret::random().map_err(|failure| failure.to_string())?;
    put(dir, KEY, &bytes)
        .map_err(|error| format!("{} cannot be written ({error})", dir.display()))?;
    Ok(SealKey::new(bytes))
}

/// Writes a file whole or not at all. What is there under the name, a link too, is replaced and not followed.
fn put(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = dir.join(format!("{name}{ASIDE}"));
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, dir.join(name))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    fn cache() -> (TempDir, CodeCache) {
        let data = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(data.path(), 1000).unwrap();
        (data, cache)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_for_the_owner_only() {
        let (data, cache) = cache();
        assert_eq!(cache.read("a"), Ok(None));
        cache.write("a", b"code").unwrap();
        assert_eq!(cache.read("a"), Ok(Some(b"code".to_vec())));
        let mode = |path: &str| fs::metadata(data.path().join(path)).unwrap().mode() & 0o777;
        let modes = ["compiled", "compiled/key", "compiled/a.code"].map(mode);
        assert_eq!(modes, [DIR_MODE, FILE_MODE, FILE_MODE]);
    }

    #[test]
    fn the_oldest_makes_room() {
        let (data, cache) = cache();
        let note = |name: &str, age: u32| {
            let file = File::open(data.path().join(format!("compiled/{name}.code"))).unwrap();
            file.set_modified(SystemTime::now() - age * NOTED).unwrap();
        };
        for (name, age) in [("old", 3), ("older", 4), ("new", 2)] {
            cache.write(name, &[0; 400]).unwrap();
            note(name, age);
        }
        let left = |name| cache.read(name).unwrap().is_some();
        assert_eq!([left("older"), left("new")], [false, true]);
        // This one is in use, and so not the oldest any more.
        assert!(left("old"));
        note("new", 2);
        cache.write("newest", &[0; 400]).unwrap();
        assert_eq!([left("old"), left("new"), left("newest")], [true, false, true]);
        assert!(cache.write("huge", &[0; 1001]).is_err_and(|why| why.contains("cache-size")));
    }

    #[test]
    fn what_an_interrupted_write_left_goes() {
        let (data, cache) = cache();
        let left = data.path().join("compiled/a.code.new");
        fs::write(&left, "half").unwrap();
        cache.write("b", b"code").unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn links_are_not_followed() {
        let (data, cache) = cache();
        let (elsewhere, link) = (data.path().join("x"), data.path().join("compiled/a.code"));
        fs::write(&elsewhere, "code").unwrap();
        chmod(&elsewhere, FILE_MODE);
        symlink(&elsewhere, &link).unwrap();
        assert!(cache.read("a").is_err_and(|why| why.contains("is a link")));
        cache.write("a", b"own").unwrap();
        assert_eq!(cache.read("a"), Ok(Some(b"own".to_vec())));
        assert_eq!(fs::read(&elsewhere).unwrap(), b"code");
    }

    #[test]
    fn what_others_can_write_is_not_used() {
        let (data, cache) = cache();
        cache.write("a", b"code").unwrap();
        let (dir, file) = (data.path().join("compiled"), data.path().join("compiled/a.code"));
        chmod(&file, 0o622);
        assert!(cache.read("a").is_err_and(|why| why.contains("written by others")));
        chmod(&dir, 0o770);
        let refused = CodeCache::open(data.path(), 1000).unwrap_err();
        assert!(refused.contains("mode 770"), "{refused}");
        chmod(&dir, DIR_MODE);
        chmod(&dir.join(KEY), 0o640);
        let refused = CodeCache::open(data.path(), 1000).unwrap_err();
        assert!(refused.contains("read by others"), "{refused}");
    }

    #[test]
    fn a_directory_that_is_a_link_is_not_used() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("elsewhere")).unwrap();
        symlink(data.path().join("elsewhere"), data.path().join("compiled")).unwrap();
        let refused = CodeCache::open(data.path(), 1000).unwrap_err();
        assert!(refused.contains("not a directory"), "{refused}");
    }

    #[test]
    fn a_key_that_was_cut_short_is_made_anew() {
        let (data, cache) = cache();
        let path = data.path().join("compiled/key");
        let first = fs::read(&path).unwrap();
        drop(cache);
        CodeCache::open(data.path(), 1000).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first, "it stays");
        fs::write(&path, &first[..7]).unwrap();
        CodeCache::open(data.path(), 1000).unwrap();
        let second = fs::read(&path).unwrap();
        assert!(second.len() == SealKey::BYTES && second != first);
    }

    #[test]
    fn looking_changes_nothing() {
        let data = tempfile::tempdir().unwrap();
        assert!(CodeCache::look(data.path()).unwrap().is_none());
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
        CodeCache::open(data.path(), 1000).unwrap().write("a", b"code").unwrap();
        let cache = CodeCache::look(data.path()).unwrap().unwrap();
        assert_eq!(cache.read("a"), Ok(Some(b"code".to_vec())));
        cache.write("b", b"code").unwrap();
        assert_eq!(cache.read("b"), Ok(None));
    }
}
