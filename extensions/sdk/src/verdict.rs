//! Shorter ways to say a verdict.
#![cfg(feature = "authorizer")]

use crate::{Opinion, Verdict, reason};

impl Verdict {
    /// Allowed.
    #[must_use]
    pub fn allow() -> Self {
        Self { opinion: Opinion::Allow, code: reason::SUCCESS, reason: None }
    }

    /// Refused with `code` (see [`reason`]); `why` is for the log.
    #[must_use]
    pub fn deny(code: u8, why: impl Into<String>) -> Self {
        Self { opinion: Opinion::Deny, code, reason: Some(why.into()) }
    }

    /// This extension cannot tell; where none can, the answer is no.
    #[must_use]
    pub fn abstain() -> Self {
        Self { opinion: Opinion::Abstain, code: reason::SUCCESS, reason: None }
    }
}
