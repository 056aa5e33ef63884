//! The answer of a permission set.

use mqtt::QoS;

/// May the client do this?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, with no more than this QoS: a subscription is granted at the lower of what it asks
    /// for and `max_qos`; a publish above it has been denied already.
    Allow {
        /// The highest QoS that the rule allows.
        max_qos: QoS,
    },
    /// No, and [`PermissionSet::explain`](crate::PermissionSet::explain) says why.
    Deny(DenyReason),
    /// The set has no rule for it: the extension wants to be asked.
    Ask,
}

impl Decision {
    /// Whether the answer is a plain yes.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

/// Why the answer was no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenyReason {
    /// The rule that decided, counted from 0 in the order in which the extension stated the
    /// rules; `None` where no rule matched.
    pub rule: Option<u16>,
    /// What about the rule, or the lack of one, led to the denial.
    pub cause: DenyCause,
    /// The first rule that could not be applied because this client's value for one of its
    /// placeholders is missing or unsafe, if there was one before `rule`.
    pub passed_over: Option<u16>,
}

impl DenyReason {
    /// No rule matched: what is denied where nothing at all is known of the client.
    pub const NO_RULE: Self = Self { rule: None, cause: DenyCause::NoRule, passed_over: None };
}

/// What led to a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyCause {
    /// No rule matched and the set denies what it does not mention.
    NoRule,
    /// The first rule that matched is a deny rule.
    Rule,
    /// The rule allows the topic, at a lower QoS than the publish has.
    Qos,
    /// The rule allows the topic, but not to retain messages on it.
    Retain,
}
