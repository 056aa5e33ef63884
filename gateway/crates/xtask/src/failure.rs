use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitStatus;

/// Why a command of the project ended early. Each text says what failed, on what, and what helps.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments name no command, or one that takes others.
    Usage(String),
    /// A program ran and reported failure.
    Program {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A program could not be started.
    Start {
        /// The command line.
        command: String,
        /// Why.
        error: io::Error,
    },
    /// A file or folder could not be read or written.
    File {
        /// What was to be done.
        action: &'static str,
        /// Where.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Something that is told in a sentence.
    Other(String),
}

impl Failure {
    /// A failed `action` ("read", "write", ...) on `path`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self::File { action, path, error }
    }

    /// The status that the process ends with: 2 for wrong arguments, as usual.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Other(text) => f.write_str(text),
            Self::Program { command, status } => write!(f, "`{command}` failed ({status})"),
            Self::Start { command, error } => {
                write!(f, "`{command}` could not be started: {error}")
            }
            Self::File { action, path, error } => write!(f, "cannot {action} {path}: {error}"),
        }
    }
}

impl std::error::Error for Failure {}
