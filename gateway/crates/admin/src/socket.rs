//! A place in the file system that one living program holds.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::error::SocketError;

/// Bytes that the path of a socket may have: what the kernel allows, less the name of the directory in which the socket
/// is made before it gets its own.
pub const PATH_BYTES_MAX: usize = 107 - ".new/s".len();

/// Write permission for everybody.
const OTHERS_WRITE: u32 = 0o002;

/// A Unix socket that listens. Dropping it removes the file.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    place: Place,
}

/// The file of a socket, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// Device and number of the file that is ours: somebody may have put another into its place.
    file: (u64, u64),
    /// Locked for as long as it is open. The kernel lets go of it when the program ends, however it ends.
    _lock: File,
}

impl Socket {
    /// Takes the place at `path`, and listens with the permissions `mode`, such as 0o600. What a program left there
    /// that did not end in order is replaced; what belongs to one that lives is not.
    ///
    /// A file `PATH.lock` says whose the place is. It stays when the socket is gone: whoever removed it could remove
    /// the lock of the next program.
    ///
    /// # Errors
    /// If the place is taken, is no place for a socket, or cannot be written to.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, SocketError> {
        let bytes = path.as_os_str().len();
        if bytes > PATH_BYTES_MAX {
            return Err(SocketError::PathTooLong { path: path.to_owned(), bytes });
        }
        refuse_open_directory(path)?;
        let lock = lock(path)?;
        refuse_foreign(path)?;
        let listener = listen(path, mode)?;
        let made = fs::symlink_metadata(path).map_err(failed("look at", path))?;
        let place = Place { path: path.to_owned(), file: (made.dev(), made.ino()), _lock: lock };
        Ok(Self { listener, place })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    pub(crate) fn into_parts(self) -> (UnixListener, Place) {
        (self.listener, self.place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.file);
        if ours {
            // A socket that stays behind is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn refuse_open_directory(path: &Path) -> Result<(), SocketError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let found = fs::metadata(parent).map_err(failed("look at", parent))?;
    match found.mode() & OTHERS_WRITE {
        0 => Ok(()),
        _ => Err(SocketError::OpenDirectory { directory: parent.to_owned() }),
    }
}

/// Of two programs that start at the same time one gets the lock, and only that one looks further.
fn lock(path: &Path) -> Result<File, SocketError> {
    let name = beside(path, ".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&name)
        .map_err(failed("open", &name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed("lock", &name)(error)),
    }
}

/// What is at the path is a socket that nobody listens on, or nothing.
fn refuse_foreign(path: &Path) -> Result<(), SocketError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NotASocket { path: path.to_owned() });
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(failed("try", path)(error)),
    }
}

/// The socket is made where only this user can reach it, and is moved to its path when it has its mode: there is no
/// moment at which it has another.
fn listen(path: &Path, mode: u32) -> Result<UnixListener, SocketError> {
    let folder = beside(path, ".new");
    let new = folder.join("s");
    clear(&folder, &new);
    DirBuilder::new().mode(0o700).create(&folder).map_err(failed("make", &folder))?;
    let listener = UnixListener::bind(&new).map_err(failed("bind", &new));
    let moved = listener.and_then(|listener| {
        fs::set_permissions(&new, Permissions::from_mode(mode))
            .map_err(failed("set the mode of", &new))?;
        fs::rename(&new, path).map_err(failed("make", path))?;
        listener.set_nonblocking(true).map_err(failed("use", path))?;
        Ok(listener)
    });
    clear(&folder, &new);
    moved
}

/// Removes what a start left behind that was cut off. What cannot be removed is told of when it is made again.
fn clear(folder: &Path, new: &Path) {
    let _ = fs::remove_file(new);
    let _ = fs::remove_dir(folder);
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(ending);
    PathBuf::from(name)
}

fn failed(attempt: &'static str, path: &Path) -> impl Fn(io::Error) -> SocketError {
    let path = path.to_owned();
    move |error| SocketError::File { attempt, path: path.clone(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_can_be_bound_and_a_longer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("");
        let room = PATH_BYTES_MAX - base.as_os_str().len();
        let longest = base.join("x".repeat(room));
        let socket = Socket::bind(&longest, 0o600).unwrap();
        assert!(UnixStream::connect(socket.path()).is_ok());
        let longer = base.join("x".repeat(room + 1));
        let error = Socket::bind(&longer, 0o600).unwrap_err();
        assert!(error.to_string().contains("101 at most"), "{error}");
    }

    #[test]
    fn the_file_has_its_mode_and_goes_with_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        for mode in [0o600, 0o660] {
            let socket = Socket::bind(&path, mode).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
            drop(socket);
            assert!(!path.exists());
        }
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["admin.sock.lock"]);
    }

    #[test]
    fn what_somebody_else_put_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let socket = Socket::bind(&path, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "notes").unwrap();
        drop(socket);
        assert_eq!(fs::read_to_string(&path).unwrap(), "notes");
        assert!(matches!(Socket::bind(&path, 0o600), Err(SocketError::NotASocket { .. })));
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a listener leaves its file behind");
        let socket = Socket::bind(&path, 0o600).unwrap();
        assert!(matches!(Socket::bind(&path, 0o600), Err(SocketError::InUse { .. })));
        assert!(UnixStream::connect(&path).is_ok(), "the first still has it");
        drop(socket);

        // One that knows nothing of the lock.
        let foreign = UnixListener::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path, 0o600), Err(SocketError::InUse { .. })));
        drop(foreign);
    }

    #[test]
    fn a_directory_that_everybody_writes_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let error = Socket::bind(&folder.path().join("admin.sock"), 0o600).unwrap_err();
        assert!(matches!(error, SocketError::OpenDirectory { .. }), "{error}");
    }
}
