//! Permissions as an extension states them.

use std::fmt;
use std::sync::Arc;

use mqtt::QoS;

/// What a client may do, as stated by the extension `source`. The first rule that matches wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// The rules in the order in which they are tried.
    pub rules: Vec<Rule>,
    /// The answer where no rule matches.
    pub fallback: Fallback,
    /// Who states this, for decisions and logs: the extension's name and the first digits of
    /// its hash, such as `acl@1a2b3c4d`.
    pub source: Arc<str>,
}

/// One line of a permission set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether what matches is allowed or denied.
    pub effect: Effect,
    /// What the rule speaks of; a rule with neither action matches nothing.
    pub actions: Actions,
    /// A topic filter which may hold `${client-id}`, `${principal}` and `${attr.NAME}` as a
    /// level or a part of one (see [`Template`](crate::Template)).
    pub filter: String,
    /// The highest QoS that an allow rule allows; without meaning in a deny rule.
    pub max_qos: QoS,
    /// Whether an allow rule allows to publish retained messages; without meaning elsewhere.
    pub retain: bool,
    /// The rule in the words of whoever wrote it, such as `line 7: allow user:demo demo/#`;
    /// shown in decisions instead of the rule itself.
    pub label: Option<Arc<str>>,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.effect, self.actions, self.filter)
    }
}

/// What a rule does to what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It may be done.
    Allow,
    /// It may not be done.
    Deny,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// What a rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    /// To publish messages.
    pub publish: bool,
    /// To subscribe, and to be sent messages for a subscription.
    pub subscribe: bool,
}

impl Actions {
    /// To publish and to subscribe.
    pub const BOTH: Self = Self { publish: true, subscribe: true };
    /// To publish only.
    pub const PUBLISH: Self = Self { publish: true, subscribe: false };
    /// To subscribe only.
    pub const SUBSCRIBE: Self = Self { publish: false, subscribe: true };
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.publish, self.subscribe) {
            (true, true) => "publish and subscribe",
            (true, false) => "publish",
            (false, true) => "subscribe",
            (false, false) => "nothing",
        })
    }
}

/// The answer where no rule matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// It may not be done.
    #[default]
    Deny,
    /// It may be done.
    Allow,
    /// The extension is to be asked.
    Ask,
}
