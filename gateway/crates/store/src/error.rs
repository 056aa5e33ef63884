use std::{error, fmt, io, path::PathBuf};

/// Why the store could not do what it was asked.
///
/// Nothing of a commit that failed counts as durable.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has the store open.
    Locked {
        /// The store's directory.
        dir: PathBuf,
    },
    /// A later release of the gateway wrote this store. It is left untouched.
    NewerFormat {
        /// The format version found.
        found: u64,
        /// The latest version that this release reads.
        supported: u64,
    },
    /// There is no store where one was named.
    Absent {
        /// The directory.
        dir: PathBuf,
    },
    /// The file system has no room left, or the quota is used up.
    NoSpace {
        /// What was being done.
        action: &'static str,
        /// The operating system's words.
        detail: String,
    },
    /// The operating system refused a file operation.
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// What is on disk cannot be read back.
    Damaged {
        /// What was being done.
        action: &'static str,
        /// What the engine found.
        detail: String,
    },
    /// The engine failed in a way that is neither damage nor lack of space.
    Engine {
        /// What was being done.
        action: &'static str,
        /// The engine's words.
        detail: String,
    },
    /// A fault that a test asked for.
    Injected,
    /// The committing thread ended before everything was durable.
    Stopped {
        /// How many submitted commits were given up.
        abandoned: usize,
        /// Why.
        detail: String,
    },
}

impl StoreError {
    /// Whether freeing disk space is what helps.
    #[must_use]
    pub const fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    /// Sorts an operating system's answer into lack of space and the rest.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| {
            if no_space(source.kind()) {
                Self::NoSpace { action, detail: source.to_string() }
            } else {
                Self::Io { action, path, source }
            }
        }
    }
}

/// Whether an error of this kind goes away when space is freed. A file-size limit
/// counts: it is how a process is given less than the whole disk.
pub(crate) const fn no_space(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}

/// What helps, where something does.
fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    match error.kind() {
        ReadOnlyFilesystem => {
            "; what is promised must be written: mount the read-only file system for writing, or \
             name another directory in store.path"
        }
        PermissionDenied => {
            "; the user that the gateway runs as must own the directory and what is in it: change \
             the owner, or name another directory in store.path"
        }
        NotADirectory => "; name a directory in store.path",
        _ => "",
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { dir } => write!(
                f,
                "store {} is in use by another process; one gateway owns a store, stop the other first",
                dir.display()
            ),
            Self::NewerFormat { found, supported } => write!(
                f,
                "store has format {found}, this release reads up to {supported}; \
                 install the release that wrote it, or move the store aside to begin an empty one"
            ),
            Self::Absent { dir } => write!(
                f,
                "there is no store in {}; name the directory that store.path of the configuration names",
                dir.display()
            ),
            Self::NoSpace { action, detail } => write!(
                f,
                "store could not {action}: no space left ({detail}); free disk space, \
                 the store goes on by itself"
            ),
            Self::Io { action, path, source } => {
                write!(f, "store could not {action} {}: {source}{}", path.display(), advice(source))
            }
            Self::Damaged { action, detail } => {
                write!(f, "store could not {action}: damaged on disk ({detail})")
            }
            Self::Engine { action, detail } => write!(f, "store could not {action}: {detail}"),
            Self::Injected => f.write_str("store failed because a test asked it to"),
            Self::Stopped { abandoned, detail } => write!(
                f,
                "store stopped with {abandoned} commits not durable and not acknowledged: {detail}"
            ),
        }
    }
}

impl error::Error for StoreError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
