//! Rules that cannot be compiled.

use std::error::Error;
use std::fmt;

use crate::index::MAX_RULES;
use crate::template::TemplateError;

/// Permissions that cannot be compiled: the fault and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The extension that stated the permissions.
    pub source: String,
    /// The faulty rule, counted from 0.
    pub rule: usize,
    /// The faulty rule in the words of whoever wrote it.
    pub text: String,
    /// What is wrong with it.
    pub fault: RuleFault,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: rule {} \"{}\": {}", self.source, self.rule + 1, self.text, self.fault)
    }
}

impl Error for RuleError {}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleFault {
    /// Its filter is not a topic filter with known placeholders.
    Filter(TemplateError),
    /// It is one rule more than a set may have.
    TooMany,
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(fault) => fault.fmt(f),
            Self::TooMany => write!(
                f,
                "a permission set has at most {MAX_RULES} rules; join rules with wildcards or \
                 placeholders, or answer \"ask\" for the rest"
            ),
        }
    }
}
