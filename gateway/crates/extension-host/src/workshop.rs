//! What compiling needs of the machine: a place for code between two starts, and a process of its own.

use std::fmt;

use auth::signature::PublicKey;

use crate::artefact::SealKey;

/// A place for compiled code, and a process to compile in. Whoever implements this handles sealed bytes only, and
/// nothing depends on their being right: what is wrong is refused and compiled again.
pub trait Workshop: fmt::Debug + Send + Sync {
    /// The key for what is kept; none where nothing is.
    fn key(&self) -> Option<&SealKey>;

    /// What was kept under a name, read into memory at once.
    ///
    /// # Errors
    /// Why what is there was not read, in words for the log.
    fn fetch(&self, name: &str) -> Result<Option<Vec<u8>>, String>;

    /// Keeps bytes under a name: letters, digits and `-`.
    ///
    /// # Errors
    /// Why they are not kept, in words for the log.
    fn keep(&self, name: &str, sealed: &[u8]) -> Result<(), String>;

    /// Whose word is taken for code that was compiled elsewhere; nobody's if there are none.
    fn code_keys(&self) -> &[PublicKey];

    /// What was brought under a name of code that was compiled elsewhere, read into memory at once.
    ///
    /// # Errors
    /// Why what is there was not read, in words for the log.
    fn brought(&self, name: &str) -> Result<Option<Vec<u8>>, String>;

    /// Has `compile` do a job in a process of its own.
    #[cfg(feature = "compiler")]
    fn run(&self, job: Vec<u8>) -> Ran;
}

/// What came of a job.
#[cfg(feature = "compiler")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// What it wrote.
    Done(Vec<u8>),
    /// It found the component to be faulty, or to need more than it may: its words.
    Refused(String),
    /// There was no process for it, and why; none if there is to be none.
    Not(Option<String>),
}
