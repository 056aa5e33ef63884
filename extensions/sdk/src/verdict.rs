//! Shorter ways to say a verdict.
#![cfg(feature = "authorizer")]

use std::time::Duration;

use crate::{Opinion, Qos, Validity, Verdict, reason};

impl Verdict {
    /// Allowed.
    #[must_use]
    pub fn allow() -> Self {
        Self { opinion: Opinion::Allow, code: reason::SUCCESS, reason: None, validity: None }
    }

    /// Refused with `code` (see [`reason`]); `why` is for the log.
    #[must_use]
    pub fn deny(code: u8, why: impl Into<String>) -> Self {
        Self { opinion: Opinion::Deny, code, reason: Some(why.into()), validity: None }
    }

    /// This extension cannot tell; where none can, the answer is no.
    #[must_use]
    pub fn abstain() -> Self {
        Self { opinion: Opinion::Abstain, code: reason::SUCCESS, reason: None, validity: None }
    }

    /// Holds for so long for everything that the client publishes on this topic.
    #[must_use]
    pub fn remembered(self, time: Duration) -> Self {
        self.valid(time, None)
    }

    /// Holds for so long for everything that the client publishes on topics of this filter.
    #[must_use]
    pub fn remembered_for(self, filter: impl Into<String>, time: Duration) -> Self {
        self.valid(time, Some(filter.into()))
    }

    fn valid(self, time: Duration, filter: Option<String>) -> Self {
        let ttl_ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let validity = Validity { ttl_ms, filter, max_qos: Qos::ExactlyOnce, retain: true };
        Self { validity: Some(validity), ..self }
    }
}
