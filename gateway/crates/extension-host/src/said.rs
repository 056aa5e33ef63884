//! What an extension said, in a form that can be compared and shown.

mod change;

use std::fmt;

use crate::answer::{AuthenticationOutcome, Failure, Verdict};
use crate::interception::{DeliveryAction, PublishAction};

use change::{Contents, Line, same_change};

/// A decision. Two are the same if they have the same effect: reasons and labels are for people.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// Who the client is.
    Accept {
        /// Its name.
        principal: String,
        /// Facts about it.
        attributes: Vec<(String, String)>,
        /// What it may do, if the authenticator says so.
        permissions: Option<auth::Permissions>,
        /// Milliseconds until that ends.
        valid_for_ms: Option<u64>,
    },
    /// The client is refused.
    Reject {
        /// Reason code.
        code: u8,
        /// Why.
        reason: Option<String>,
    },
    /// The next extension is to say.
    Abstain,
    /// What the client may do.
    Permissions(auth::Permissions),
    /// How much the client may do.
    Limits(auth::Limits),
    /// About each thing that was asked for.
    Verdicts(Vec<Verdict>),
    /// What becomes of a publish.
    Publish(PublishAction),
    /// What becomes of a message for a client.
    Delivery(DeliveryAction),
    /// It failed.
    Failed {
        /// How.
        why: String,
    },
}

impl Said {
    pub(crate) fn authentication(result: &Result<AuthenticationOutcome, Failure>) -> Self {
        match result {
            Ok(AuthenticationOutcome::Accept(grant)) => Self::Accept {
                principal: grant.principal.as_ref().to_owned(),
                attributes: grant.attributes.clone(),
                permissions: grant.permissions.clone(),
                valid_for_ms: grant.valid_for_ms,
            },
            Ok(AuthenticationOutcome::Reject { code, reason }) => {
                Self::Reject { code: code.as_u8(), reason: reason.clone() }
            }
            Ok(AuthenticationOutcome::Abstain) => Self::Abstain,
            Err(failure) => Self::failed(failure),
        }
    }

    pub(crate) fn permissions(result: &Result<Option<auth::Permissions>, Failure>) -> Self {
        match result {
            Ok(Some(permissions)) => Self::Permissions(permissions.clone()),
            Ok(None) => Self::Abstain,
            Err(failure) => Self::failed(failure),
        }
    }

    pub(crate) fn limits(result: &Result<auth::Limits, Failure>) -> Self {
        match result {
            Ok(limits) => Self::Limits(*limits),
            Err(failure) => Self::failed(failure),
        }
    }

    pub(crate) fn verdict(result: &Result<Verdict, Failure>) -> Self {
        match result {
            Ok(verdict) => Self::Verdicts(vec![verdict.clone()]),
            Err(failure) => Self::failed(failure),
        }
    }

    pub(crate) fn verdicts(result: &Result<Vec<Verdict>, Failure>) -> Self {
        match result {
            Ok(verdicts) => Self::Verdicts(verdicts.clone()),
            Err(failure) => Self::failed(failure),
        }
    }

    pub(crate) fn publish(result: &Result<PublishAction, Failure>) -> Self {
        match result {
            Ok(action) => Self::Publish(action.clone()),
            Err(failure) => Self::failed(failure),
        }
    }

    pub(crate) fn delivery(result: &Result<DeliveryAction, Failure>) -> Self {
        match result {
            Ok(action) => Self::Delivery(action.clone()),
            Err(failure) => Self::failed(failure),
        }
    }

    fn failed(failure: &Failure) -> Self {
        Self::Failed { why: failure.to_string() }
    }

    /// Whether both have the same effect.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        self.agrees_in(other, Contents::Compared)
    }

    /// Whether both have the same effect as far as that can be told where `other` has stand-ins for what is in messages.
    pub(crate) fn agrees_with_veiled(&self, other: &Self) -> bool {
        self.agrees_in(other, Contents::Veiled)
    }

    /// What it is, for whoever sees it beside another that has not the same effect: what is in messages is shown by neither.
    pub(crate) fn told_apart_from(&self, other: &Self) -> String {
        let (text, others) = (self.to_string(), other.to_string());
        if text == others { format!("{text}, with other contents") } else { text }
    }

    fn agrees_in(&self, other: &Self, contents: Contents) -> bool {
        match (self, other) {
            (
                Self::Accept { principal, attributes, permissions, valid_for_ms },
                Self::Accept {
                    principal: principal2,
                    attributes: attributes2,
                    permissions: permissions2,
                    valid_for_ms: valid_for_ms2,
                },
            ) => {
                let same_rules = match (permissions, permissions2) {
                    (Some(a), Some(b)) => same_rules(a, b),
                    (None, None) => true,
                    _ => false,
                };
                // A token that is read a moment later is valid for a moment less.
                let same_end = valid_for_ms.is_some() == valid_for_ms2.is_some();
                principal == principal2 && attributes == attributes2 && same_rules && same_end
            }
            (Self::Reject { code: a, .. }, Self::Reject { code: b, .. }) => a == b,
            (Self::Abstain, Self::Abstain) | (Self::Failed { .. }, Self::Failed { .. }) => true,
            (Self::Permissions(a), Self::Permissions(b)) => same_rules(a, b),
            (Self::Limits(a), Self::Limits(b)) => a == b,
            (Self::Verdicts(a), Self::Verdicts(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_verdict(a, b))
            }
            (Self::Publish(a), Self::Publish(b)) => match (a, b) {
                (PublishAction::Refuse { code: a, .. }, PublishAction::Refuse { code: b, .. }) => {
                    a == b
                }
                (PublishAction::Replace(a), PublishAction::Replace(b)) => {
                    let same = |(a, b)| same_change(a, b, contents);
                    a.len() == b.len() && a.iter().zip(b).all(same)
                }
                (a, b) => a == b,
            },
            (Self::Delivery(a), Self::Delivery(b)) => match (a, b) {
                (DeliveryAction::Replace(a), DeliveryAction::Replace(b)) => {
                    same_change(a, b, contents)
                }
                (a, b) => a == b,
            },
            _ => false,
        }
    }
}

fn same_rules(a: &auth::Permissions, b: &auth::Permissions) -> bool {
    let same = |(a, b): (&auth::Rule, &auth::Rule)| {
        (a.effect, a.actions, &a.filter, a.max_qos, a.retain)
            == (b.effect, b.actions, &b.filter, b.max_qos, b.retain)
    };
    a.fallback == b.fallback
        && a.rules.len() == b.rules.len()
        && a.rules.iter().zip(&b.rules).all(same)
}

fn same_verdict(a: &Verdict, b: &Verdict) -> bool {
    match (a, b) {
        (Verdict::Allow { .. }, Verdict::Allow { .. }) | (Verdict::Abstain, Verdict::Abstain) => {
            true
        }
        (Verdict::Deny { code: a, .. }, Verdict::Deny { code: b, .. }) => a == b,
        _ => false,
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept { principal, attributes, permissions, valid_for_ms } => {
                write!(f, "accept as \"{principal}\"")?;
                for (name, value) in attributes {
                    write!(f, " {name}={value}")?;
                }
                if let Some(ms) = valid_for_ms {
                    write!(f, " for {ms} ms")?;
                }
                permissions.as_ref().map_or(Ok(()), |set| write!(f, " with {}", Rules(set)))
            }
            Self::Reject { code, reason } => {
                write!(f, "reject 0x{code:02x}: {}", reason.as_deref().unwrap_or("no reason"))
            }
            Self::Abstain => f.write_str("abstain"),
            Self::Permissions(set) => Rules(set).fmt(f),
            Self::Limits(limits) => limits.fmt(f),
            Self::Verdicts(verdicts) => {
                for (at, verdict) in verdicts.iter().enumerate() {
                    f.write_str(if at > 0 { ", " } else { "" })?;
                    match verdict {
                        Verdict::Allow { .. } => f.write_str("allow")?,
                        Verdict::Abstain => f.write_str("abstain")?,
                        Verdict::Deny { code, reason, .. } => {
                            let reason = reason.as_deref().unwrap_or("no reason");
                            write!(f, "deny 0x{:02x}: {reason}", code.as_u8())?;
                        }
                    }
                }
                Ok(())
            }
            Self::Publish(PublishAction::Pass) | Self::Delivery(DeliveryAction::Pass) => {
                f.write_str("pass")
            }
            Self::Publish(PublishAction::Discard) | Self::Delivery(DeliveryAction::Discard) => {
                f.write_str("discard")
            }
            Self::Publish(PublishAction::Refuse { code, reason }) => {
                let reason = reason.as_deref().unwrap_or("no reason");
                write!(f, "refuse 0x{:02x}: {reason}", code.as_u8())
            }
            Self::Publish(PublishAction::Replace(changes)) => {
                f.write_str("replace by ")?;
                for (at, change) in changes.iter().enumerate() {
                    write!(f, "{}{}", if at > 0 { "; " } else { "" }, Line(change))?;
                }
                Ok(())
            }
            Self::Delivery(DeliveryAction::Replace(change)) => {
                write!(f, "replace by {}", Line(change))
            }
            Self::Failed { why } => write!(f, "failure: {why}"),
        }
    }
}

/// A permission set in a line.
struct Rules<'a>(&'a auth::Permissions);

impl fmt::Display for Rules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for rule in &self.0.rules {
            let effect = match rule.effect {
                auth::Effect::Allow => "allow",
                auth::Effect::Deny => "deny",
            };
            let actions = match (rule.actions.publish, rule.actions.subscribe) {
                (true, true) => "publish,subscribe",
                (true, false) => "publish",
                (false, true) => "subscribe",
                (false, false) => "nothing",
            };
            write!(f, "{effect} {actions} {}", rule.filter)?;
            write!(f, "{}; ", if rule.retain { "" } else { " no-retain" })?;
        }
        let fallback = match self.0.fallback {
            auth::Fallback::Deny => "deny",
            auth::Fallback::Allow => "allow",
            auth::Fallback::Ask => "ask",
        };
        write!(f, "else {fallback}]")
    }
}
