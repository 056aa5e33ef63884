//! What goes wrong with a socket.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::socket::PATH_BYTES_MAX;

/// Why a program cannot have a socket.
#[derive(Debug)]
pub enum SocketError {
    /// Another program that lives has it.
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// There is something else at the path, which is not ours to remove.
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The kernel knows no sockets with so long a path.
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Bytes that it has.
        bytes: usize,
    },
    /// Everybody could put something else into the place of the socket.
    OpenDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// The file system says no.
    File {
        /// What was tried: `bind`, for example.
        attempt: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path } => write!(
                f,
                "the admin socket {} belongs to a program that runs; stop it, or name another path",
                path.display()
            ),
            Self::NotASocket { path } => write!(
                f,
                "{} is there and is no socket; remove it, or name another path for the admin socket",
                path.display()
            ),
            Self::PathTooLong { path, bytes } => write!(
                f,
                "the path of the admin socket {} has {bytes} bytes; it may have {PATH_BYTES_MAX} at \
                 most, choose a shorter one",
                path.display()
            ),
            Self::OpenDirectory { directory } => write!(
                f,
                "everybody may write to {}, and could put another socket into the place of the \
                 admin socket; choose a directory that only its owner may write to",
                directory.display()
            ),
            Self::File { attempt, path, error } => {
                write!(f, "cannot {attempt} {} for the admin socket: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for SocketError {}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// There is no socket.
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// There is a socket, and nobody who listens.
    NobodyListens {
        /// The path.
        path: PathBuf,
    },
    /// The user of this process may not write to it.
    Forbidden {
        /// The path.
        path: PathBuf,
    },
    /// There was no answer in time.
    TimedOut {
        /// The time that there was.
        limit: Duration,
    },
    /// The other side does not speak HTTP, ended early, or could not be reached for another reason.
    Broken {
        /// The path.
        path: PathBuf,
        /// What happened.
        why: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(
                f,
                "there is no admin socket at {}; is the gateway running, and is this its path?",
                path.display()
            ),
            Self::NobodyListens { path } => write!(
                f,
                "nobody listens on the admin socket {}; start the gateway",
                path.display()
            ),
            Self::Forbidden { path } => write!(
                f,
                "this user may not use the admin socket {}; run this as the user of the gateway, or \
                 give the socket another mode",
                path.display()
            ),
            Self::TimedOut { limit } => {
                write!(f, "the gateway did not answer within {} s", limit.as_secs_f64())
            }
            Self::Broken { path, why } => {
                write!(f, "no answer came from the admin socket {}: {why}", path.display())
            }
        }
    }
}

impl std::error::Error for ClientError {}
