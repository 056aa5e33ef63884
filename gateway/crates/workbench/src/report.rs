//! What came of the cases, for a terminal.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::compare::Difference;

/// What came of one case.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) took: Duration,
    /// Nothing where it passed.
    pub(crate) differences: Vec<Difference>,
    /// What the extension wrote to the log.
    pub(crate) log: Vec<String>,
}

impl Verdict {
    pub(crate) fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

/// One line where it passed, else everything that is needed to see why it did not.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        if self.passed() {
            let ms = self.took.as_secs_f64() * 1e3;
            return write!(f, "ok      {file}:{}: {} ({ms:.1} ms)", self.line, self.name);
        }
        write!(f, "FAILED  {file}:{}: {}", self.line, self.name)?;
        for difference in &self.differences {
            write!(f, "\n  {file}:{}: {}", difference.line, difference.what)?;
            for line in &difference.lines {
                write!(f, "\n    {line}")?;
            }
        }
        if !self.log.is_empty() {
            f.write_str("\n  the log of the extension:")?;
        }
        for line in &self.log {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// How many cases came out as expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// As expected.
    pub passed: usize,
    /// Otherwise.
    pub failed: usize,
    /// Not run because the filter names others.
    pub left_out: usize,
    /// Time for all, compiling included.
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, left_out, took } = self;
        write!(f, "{passed} passed, {failed} failed")?;
        if *left_out > 0 {
            write!(f, ", {left_out} left out by the filter")?;
        }
        write!(f, "; {:.1} s", took.as_secs_f64())
    }
}
