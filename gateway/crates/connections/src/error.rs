//! Documents that could not be had.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::authorities::SYSTEM_BUNDLES;

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The file with the authorities is of no use.
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No file with authorities was named, and the system has none.
    NoSystemBundle,
    /// It was not there in time.
    TimedOut {
        /// The time that there was.
        limit: Duration,
    },
    /// It is longer than is read.
    TooLong {
        /// Bytes that are read.
        limit: u64,
    },
    /// The server sends elsewhere, which is not followed.
    Redirect {
        /// The status.
        status: u16,
    },
    /// The server answers, and not with the document.
    Status(u16),
    /// It is not text in UTF-8.
    NotText,
    /// The server could not be reached, is not the one that it should be, or does not speak HTTP.
    Unreachable(String),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorities { path, why } => {
                write!(f, "the authorities in {} cannot be used: {why}", path.display())
            }
            Self::NoSystemBundle => write!(
                f,
                "the system has no authorities ({}); install ca-certificates, or name a PEM file \
                 with them",
                SYSTEM_BUNDLES.join(", ")
            ),
            Self::TimedOut { limit } => {
                write!(f, "the server did not answer within {} s", limit.as_secs_f64())
            }
            Self::TooLong { limit } => write!(f, "the answer has more than {limit} bytes"),
            Self::Redirect { status } => write!(
                f,
                "the server answers with {status}, a redirect, which is not followed; name the \
                 address where the document is"
            ),
            Self::Status(status) => write!(f, "the server answers with status {status}"),
            Self::NotText => f.write_str("the answer is not text in UTF-8"),
            Self::Unreachable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for FetchError {}
