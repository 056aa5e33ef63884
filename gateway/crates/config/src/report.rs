//! What is wrong with a configuration.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Everything that is wrong with a configuration file, in the order of its lines. Displays as one
/// line per fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    file: PathBuf,
    faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The line, counted from 1; `None` where it is about the file as a whole.
    pub line: Option<usize>,
    /// What is wrong: the setting, its value, the rule and the fix.
    pub message: String,
}

impl Report {
    pub(crate) fn new(file: &Path, mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        Self { file: file.to_owned(), faults }
    }

    pub(crate) fn unreadable(file: &Path, error: &io::Error) -> Self {
        let message = format!("cannot be read ({}); check its path and permissions", cause(error));
        Self::new(file, vec![Fault { line: None, message }])
    }

    /// The faults, at least one.
    pub fn errors(&self) -> &[Fault] {
        &self.faults
    }

    /// The configuration file.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:", self.file.display())?;
            if let Some(line) = fault.line {
                write!(f, "{line}:")?;
            }
            write!(f, " {}", fault.message)?;
        }
        Ok(())
    }
}

impl Error for Report {}

/// The operating system's words without its error number.
pub(crate) fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::InvalidData => "it is not text in UTF-8".to_owned(),
        _ => error.to_string(),
    }
}
