use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// The configuration has faults.
    Config(config::Report),
    /// Faults that only show when files are read, one a line.
    Faults(Vec<String>),
    /// A listener could not be opened.
    Listen { listener: String, error: transport::BindError },
    /// The store could not be opened, or not be closed in order.
    Store(store::StoreError),
    /// An extension could not be loaded.
    Extension(String),
    /// There is no admin socket, or no answer from one, or one that says no.
    Admin(String),
    /// The log could not be set up.
    Log(String),
    /// A file could not be read or written.
    File { verb: &'static str, path: PathBuf, error: io::Error },
    /// The certificates of the first start could not be made.
    Pki(transport::pki::PkiError),
    /// A user name or a password cannot be used.
    User(String),
    /// The operating system refused something else.
    System { what: &'static str, error: io::Error },
}

impl Failure {
    /// Pairs an error of the operating system with the file that it is about.
    pub(crate) fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { verb, path, error }
    }

    /// 2 for a command line that makes no sense, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) => write!(f, "portcullis: {why}; see `portcullis help`"),
            Self::Config(report) => report.fmt(f),
            Self::Faults(faults) => f.write_str(&faults.join("\n")),
            Self::Listen { listener, error } => write!(f, "listener \"{listener}\": {error}"),
            Self::Store(error) => error.fmt(f),
            Self::Admin(why) | Self::Extension(why) | Self::Log(why) | Self::User(why) => {
                f.write_str(why)
            }
            Self::File { verb, path, error } => {
                write!(f, "cannot {verb} {} ({error})", path.display())?;
                match error.kind() {
                    io::ErrorKind::NotFound => f.write_str("; name a path that exists"),
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; run as the user that owns it, or change its mode")
                    }
                    io::ErrorKind::StorageFull => f.write_str("; free some space"),
                    _ => Ok(()),
                }
            }
            Self::Pki(error) => error.fmt(f),
            Self::System { what, error } => write!(f, "cannot {what} ({error})"),
        }
    }
}

impl std::error::Error for Failure {}
