use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use auth::jwt::{KeySet, MAX_SET_BYTES, Policy};
use extension_host::{KeySource, Look, Miss};

use super::{Label, secret};
use crate::failure::Failure;

/// How often a file is looked at where every token fits: a key that was taken out serves for no longer.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is in a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Jwks,
    Pem,
    Secret,
}

/// Keys in a file, which is read again when it has changed. One that cannot be used then leaves the keys that there are in
/// force, and the log says so.
#[derive(Debug)]
pub(super) struct KeyFile {
    label: Label,
    form: Form,
    path: PathBuf,
    policy: Policy,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    keys: Arc<KeySet>,
    /// Of the file that was read last, whether it could be used or not.
    stamp: Option<Stamp>,
    looked: Instant,
}

/// By what a changed file is known.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl KeyFile {
    pub(super) fn open(
        label: Label,
        form: Form,
        path: &Path,
        policy: Policy,
    ) -> Result<Self, Failure> {
        let stamp = stamp(path);
        let keys = read(form, path, &policy).map_err(|why| label.failure(why))?;
        let state = Mutex::new(State { keys: Arc::new(keys), stamp, looked: Instant::now() });
        Ok(Self { label, form, path: path.to_owned(), policy, state })
    }

    /// Reads the file, changed or not.
    pub(super) fn read_again(&self) {
        self.renew(&mut self.lock(), true);
    }

    /// Whether there are other keys now.
    fn renew(&self, state: &mut State, anyway: bool) -> bool {
        state.looked = Instant::now();
        let stamp = stamp(&self.path);
        if !anyway && stamp == state.stamp {
            return false;
        }
        // Before it is read: what is written meanwhile changes the next stamp.
        state.stamp = stamp;
        let Label { extension, key_set } = &self.label;
        match read(self.form, &self.path, &self.policy) {
            Ok(keys) => {
                tracing::info!(extension, key_set, keys = keys.len(), "key set read");
                state.keys = Arc::new(keys);
                true
            }
            Err(error) => {
                tracing::error!(
                    extension,
                    key_set,
                    error,
                    "key set not read; the earlier one serves"
                );
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeySource for KeyFile {
    fn current(&self) -> Result<Arc<KeySet>, String> {
        let mut state = self.lock();
        if state.looked.elapsed() >= LOOK_EVERY {
            self.renew(&mut state, false);
        }
        Ok(Arc::clone(&state.keys))
    }

    /// Looks at once: it costs a token that is refused next to nothing.
    fn missed(&self, _: Miss) -> Look {
        if self.renew(&mut self.lock(), false) { Look::Changed } else { Look::Same }
    }
}

/// Nothing where there is no file.
fn stamp(path: &Path) -> Option<Stamp> {
    let of = |found: Metadata| Stamp {
        inode: found.ino(),
        bytes: found.len(),
        changed: (found.mtime(), found.mtime_nsec()),
    };
    fs::metadata(path).ok().map(of)
}

fn read(form: Form, path: &Path, policy: &Policy) -> Result<KeySet, String> {
    let text = || {
        let size = fs::metadata(path).map_err(Failure::file("read", path))?.len();
        if size > MAX_SET_BYTES as u64 {
            return Err(Failure::Extension(format!(
                "{} has {size} bytes, a key set has at most {MAX_SET_BYTES}",
                path.display()
            )));
        }
        fs::read_to_string(path).map_err(Failure::file("read", path))
    };
    let text = || text().map_err(|failure| failure.to_string());
    let keys = match form {
        Form::Jwks => KeySet::parse(&text()?, policy),
        Form::Pem => KeySet::pem(&text()?, policy),
        Form::Secret => {
            KeySet::symmetric(&secret(path).map_err(|failure| failure.to_string())?, policy)
        }
    };
    keys.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use auth::jwt::{Algorithm, Expected};

    use super::*;

    fn open(form: Form, path: &Path) -> Result<KeyFile, Failure> {
        let label = Label { extension: "jwt".into(), key_set: "plant".into() };
        let policy = Policy::new(vec![Algorithm::Hs256], Expected::Any, Expected::Any);
        KeyFile::open(label, form, path, policy)
    }

    fn jwks(kid: &str) -> String {
        let key = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
        format!(r#"{{"keys":[{{"kty":"oct","kid":"{kid}","k":"{key}"}}]}}"#)
    }

    fn kid(file: &KeyFile) -> String {
        file.current().unwrap().kids().collect()
    }

    #[test]
    fn a_changed_file_is_read_when_it_is_time_to_look() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        fs::write(&path, jwks("one")).unwrap();
        let file = open(Form::Jwks, &path).unwrap();
        fs::write(&path, jwks("another")).unwrap();
        assert_eq!(kid(&file), "one", "it was looked at a moment ago");
        let later = || file.lock().looked = Instant::now().checked_sub(LOOK_EVERY).unwrap();
        later();
        assert_eq!(kid(&file), "another");
        for damage in ["", "{"] {
            fs::write(&path, damage).unwrap();
            later();
            assert_eq!(kid(&file), "another");
        }
        fs::remove_file(&path).unwrap();
        later();
        assert_eq!(kid(&file), "another");
        fs::write(&path, jwks("third")).unwrap();
        file.read_again();
        assert_eq!(kid(&file), "third");
        assert_eq!(file.missed(Miss::UnknownKey), Look::Same);
        fs::write(&path, jwks("fourth")).unwrap();
        assert_eq!(file.missed(Miss::UnknownKey), Look::Changed);
        assert_eq!(kid(&file), "fourth");
    }

    #[test]
    fn a_file_that_is_of_no_use_is_told_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let refused = |form, bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            open(form, &path).unwrap_err().to_string()
        };
        for (form, bytes, words) in [
            (Form::Jwks, &b"{}"[..], "no array \"keys\""),
            (Form::Jwks, &[b' '; MAX_SET_BYTES + 1][..], "a key set has at most"),
            (Form::Pem, b"nothing", "PEM"),
            (Form::Secret, b"short\n", "5 bytes"),
        ] {
            let failure = refused(form, bytes);
            let start = "extension \"jwt\": key set \"plant\": ";
            assert!(failure.starts_with(start) && failure.contains(words), "{failure}");
        }
        fs::write(&path, [&[b'x'; 32][..], b"\r\n"].concat()).unwrap();
        assert_eq!(secret(&path).unwrap().len(), 32);
        assert!(open(Form::Secret, &path).is_ok());
    }
}
