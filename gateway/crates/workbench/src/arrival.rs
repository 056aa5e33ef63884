//! What came of a CONNECT.

use std::fmt;

use config::fixture::{Fallback, Outcome};

/// What came of a CONNECT, as a fixture speaks of it.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// The client is in.
    Accepted {
        principal: String,
        attributes: Vec<(String, String)>,
        valid_for_ms: Option<u64>,
        /// Authentication Data of the last step.
        data: Option<Vec<u8>>,
        /// None where the extension gives no permission set.
        permissions: Option<auth::Permissions>,
        /// None where it does not say how much the client may do.
        limits: Option<auth::Limits>,
    },
    Rejected {
        code: u8,
        reason: Option<String>,
    },
    Abstained,
    /// The hook gave no answer.
    Failed(String),
    /// The extension did not start.
    Refused(String),
    /// The extension wants more answers of the client than the case has.
    Challenged {
        data: Option<Vec<u8>>,
    },
}

impl Arrival {
    /// Which way it went; none for what no case can expect.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        Some(match self {
            Self::Accepted { .. } => Outcome::Accept,
            Self::Rejected { .. } => Outcome::Reject,
            Self::Abstained => Outcome::Abstain,
            Self::Failed(_) => Outcome::Fail,
            Self::Refused(_) => Outcome::RefuseSettings,
            Self::Challenged { .. } => return None,
        })
    }

    /// Why, where it went wrong.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Rejected { reason, .. } => reason.as_deref().unwrap_or_default(),
            Self::Failed(why) | Self::Refused(why) => why,
            _ => "",
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { principal, .. } => write!(f, "accept as \"{principal}\""),
            Self::Rejected { code, reason } => {
                write!(f, "reject 0x{code:02x}: {}", reason.as_deref().unwrap_or("no reason"))
            }
            Self::Abstained => f.write_str("abstain"),
            Self::Failed(why) => write!(f, "fail: {why}"),
            Self::Refused(why) => write!(f, "refuse-settings: {why}"),
            Self::Challenged { data } => write!(
                f,
                "one more challenge ({}), for which the case has no step",
                shown(data.as_deref().unwrap_or_default())
            ),
        }
    }
}

/// What holds where no rule of a set matches.
pub(crate) fn fallback(permissions: Option<&auth::Permissions>) -> Fallback {
    match permissions.map(|permissions| permissions.fallback) {
        Some(auth::Fallback::Deny) => Fallback::Deny,
        Some(auth::Fallback::Allow) => Fallback::Allow,
        Some(auth::Fallback::Ask) => Fallback::Ask,
        None => Fallback::NoSet,
    }
}

/// A rule with all that it says, each limit only where it limits.
pub(crate) fn rule(rule: &auth::Rule) -> String {
    let mut text = rule.to_string();
    if rule.effect == auth::Effect::Allow {
        if rule.max_qos < mqtt::QoS::ExactlyOnce {
            text.push_str(&format!(" qos<={}", rule.max_qos as u8));
        }
        if !rule.retain {
            text.push_str(" no-retain");
        }
    }
    text
}

/// Bytes as a text in one line, or as digits where they are none.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let is_text = |text: &str| text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    match std::str::from_utf8(bytes) {
        Ok(text) if is_text(text) => {
            format!("\"{}\"", text.replace('\n', "\\n").replace('\t', "\\t"))
        }
        _ => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{{ hex = \"{digits}\" }}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_one_line() {
        for (bytes, text) in [
            (&b"plain"[..], "\"plain\""),
            (b"a\tb\n", "\"a\\tb\\n\""),
            (b"\0", "{ hex = \"00\" }"),
            (b"\xff", "{ hex = \"ff\" }"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }
}
