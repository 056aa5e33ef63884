//! Why a tool could not do its work, in sentences for the author.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a tool could not do its work. That an extension does not pass is no such failure.
#[derive(Debug)]
pub enum Failure {
    /// A file or folder could not be read or written.
    File {
        /// What was to be done.
        verb: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file of cases has faults.
    Fixture(config::Report),
    /// The component is none, or is not what the gateway could load.
    Component(String),
    /// Something else, in a sentence.
    Other(String),
}

impl Failure {
    /// Pairs an error of the operating system with the file that it is about.
    pub(crate) fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { verb, path, error }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { verb, path, error } => {
                write!(f, "cannot {verb} {} ({error})", path.display())
            }
            Self::Fixture(report) => report.fmt(f),
            Self::Component(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failure {}
