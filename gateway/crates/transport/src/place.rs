//! The file of a Unix socket, for as long as somebody listens on it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Write permission for everybody.
const OTHERS_WRITE: u32 = 0o002;

/// The file. Dropping it removes the file, unless somebody has put another into its place.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// Device and number of the file that is ours.
    file: (u64, u64),
}

impl Place {
    /// Listens at `path` with the permissions `mode`. What a program left there that did not end in order is
    /// replaced; what somebody listens on, and what is no socket, is not.
    pub(crate) fn take(path: &Path, mode: u32) -> io::Result<(UnixListener, Self)> {
        refuse_open_directory(path)?;
        refuse_foreign(path)?;
        let listener = listen(path, mode)?;
        let made = fs::symlink_metadata(path)?;
        Ok((listener, Self { path: path.to_owned(), file: (made.dev(), made.ino()) }))
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

/// Where everybody may write, somebody else could put a socket into the place of ours, or lead what we remove
/// elsewhere.
fn refuse_open_directory(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match fs::metadata(parent)?.mode() & OTHERS_WRITE {
        0 => Ok(()),
        _ => {
            Err(io::Error::new(ErrorKind::PermissionDenied, "everybody may write to its directory"))
        }
    }
}

/// What is at the path is a socket that nobody listens on, or nothing.
fn refuse_foreign(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "what is there is no socket"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "somebody listens there")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

/// The socket is made where only this user can reach it, and is moved to its path when it has its mode: there
/// is no moment at which it has another.
fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let mut folder = OsString::from(path.as_os_str());
    folder.push(".new");
    let folder = PathBuf::from(folder);
    let new = folder.join("s");
    clear(&folder, &new);
    DirBuilder::new().mode(0o700).create(&folder)?;
    let moved = UnixListener::bind(&new).and_then(|listener| {
        fs::set_permissions(&new, Permissions::from_mode(mode))?;
        fs::rename(&new, path)?;
        listener.set_nonblocking(true)?;
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
