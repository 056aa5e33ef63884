//! Shorter ways to say what the contract's records say.

use crate::{Actions, Denial, Effect, Fallback, PermissionSet, Qos, Rule};

#[cfg(feature = "authenticator")]
impl crate::Grant {
    /// The client is `principal`; what it may do is left to the authorizers, and the grant does not end.
    #[must_use]
    pub fn new(principal: impl Into<String>) -> Self {
        Self {
            principal: principal.into(),
            attributes: Vec::new(),
            permissions: None,
            valid_for_ms: None,
        }
    }
}

#[cfg(feature = "client-limits")]
impl crate::Limits {
    /// Limits nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self { messages: None, bytes: None, max_inflight: None, max_subscriptions: None }
    }
}

#[cfg(feature = "client-limits")]
impl crate::Rate {
    /// So much a second, and a second's worth at once.
    #[must_use]
    pub const fn per_second(per_second: u32) -> Self {
        Self { per_second, burst: per_second }
    }
}

impl Denial {
    /// Refused with `code` (see [`reason`](crate::reason)); `reason` is for the log and, if the operator
    /// allows it, for the client: it must not tell a guesser what was right.
    #[must_use]
    pub fn new(code: u8, reason: impl Into<String>) -> Self {
        Self { code, reason: Some(reason.into()) }
    }
}

impl PermissionSet {
    /// The first of `rules` that matches decides; where none does, the answer is no.
    #[must_use]
    pub fn first_match(rules: Vec<Rule>) -> Self {
        Self { rules, fallback: Fallback::Deny }
    }
}

impl Rule {
    /// Lets `actions` on `filter` pass, up to QoS 2 and with retain.
    #[must_use]
    pub fn allow(actions: Actions, filter: impl Into<String>) -> Self {
        Self {
            effect: Effect::Allow,
            actions,
            filter: filter.into(),
            max_qos: Qos::ExactlyOnce,
            retain: true,
            label: None,
        }
    }

    /// Refuses `actions` on `filter`.
    #[must_use]
    pub fn deny(actions: Actions, filter: impl Into<String>) -> Self {
        Self { effect: Effect::Deny, ..Self::allow(actions, filter) }
    }
}
