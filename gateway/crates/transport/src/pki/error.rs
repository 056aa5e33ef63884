//! Why the private authority could not do its work.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a key or a certificate could not be made.
#[derive(Debug)]
pub enum PkiError {
    /// A file or directory could not be used.
    File {
        /// What was being done to it.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that would be overwritten.
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Files that would be replaced, where the operator may say that they are to be.
    WouldReplace {
        /// The first of them.
        path: PathBuf,
    },
    /// A certificate request cannot be used.
    Request {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What was asked for cannot be done: what, why, and what to do instead.
    Order(String),
    /// A key or certificate that exists cannot be used, or one cannot be made.
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A name that no certificate can hold.
    Name {
        /// The name.
        name: String,
        /// What a name must be.
        rule: &'static str,
    },
    /// The system gives no random numbers.
    Random,
}

impl PkiError {
    pub(super) fn unusable(path: &Path, cause: &rcgen::Error) -> Self {
        Self::Unusable { path: path.to_owned(), reason: cause.to_string() }
    }
}

impl fmt::Display for PkiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { action, path, source } => {
                write!(f, "cannot {action} {path:?} ({source}); ")?;
                f.write_str("the gateway needs a directory of its own that it can write to")
            }
            Self::Exists { path } => write!(
                f,
                "{path:?} exists and keys are never overwritten; choose another name, or move it away"
            ),
            Self::WouldReplace { path } => write!(
                f,
                "{path:?} exists; name other files with --out, or replace it with --force: what is in it is lost then"
            ),
            Self::Request { path, reason } => write!(
                f,
                "request {path:?} cannot be signed ({reason}); it must be PKCS#10 in PEM, made with the key that it is about, such as by `openssl req -new`"
            ),
            Self::Order(sentence) => f.write_str(sentence),
            Self::Unusable { path, reason } => write!(
                f,
                "{path:?} cannot be used ({reason}); restore it from a backup, or move it away to have a new one made"
            ),
            Self::Name { name, rule } => {
                write!(f, "name {name:?} cannot be in a certificate; it must be {rule}")
            }
            Self::Random => f.write_str("the system gives no random numbers; keys need them"),
        }
    }
}

impl std::error::Error for PkiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}
