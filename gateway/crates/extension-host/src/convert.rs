//! Turns a guest's answers into the gateway's own values, and refuses those that the contract does not allow.

mod messages;

use std::sync::Arc;
use std::time::Duration;

use mqtt::{PacketKind, QoS, ReasonCode, TopicFilter};

use crate::answer::{AuthenticationOutcome, Challenge, Continuation, Progress, Validity, Verdict};
use crate::bindings::exports::portcullis::gateway::{
    authenticator, authorizer, client_limits, enhanced_authenticator,
};
use crate::bindings::portcullis::gateway::types;
use crate::generation::Generation;
use crate::log::printable;

pub(crate) use messages::{delivery_action, publish_action};

/// Bytes of a principal at most.
pub const MAX_PRINCIPAL_BYTES: usize = 1 << 10;
/// Attributes that an authenticator may grant at most.
pub const MAX_ATTRIBUTES: usize = 64;
/// Bytes of all names and values of attributes together at most.
pub const MAX_ATTRIBUTE_BYTES: usize = 16 << 10;
/// Bytes of a reason or of a rule's label; what is longer is cut.
pub const MAX_REASON_BYTES: usize = 512;

/// Bytes of Authentication Data at most: what a property of MQTT holds.
pub const MAX_AUTHENTICATION_DATA_BYTES: usize = u16::MAX as usize;
/// Bytes that an extension may have kept between two steps of an exchange. Each client that has not answered yet
/// costs as many.
pub const MAX_STATE_BYTES: usize = 16 << 10;

/// The code with which `packet` is to refuse.
fn refusal(packet: PacketKind, code: u8) -> Result<ReasonCode, String> {
    ReasonCode::from_u8(code)
        .filter(|code| code.is_error() && packet.allows(*code))
        .ok_or_else(|| format!("reason code 0x{code:02x} cannot refuse in {packet}"))
}

pub(crate) fn outcome(
    outcome: authenticator::Outcome,
    source: &Arc<str>,
) -> Result<AuthenticationOutcome, String> {
    Ok(match outcome {
        authenticator::Outcome::Accept(grant) => {
            AuthenticationOutcome::Accept(self::grant(grant, source)?)
        }
        authenticator::Outcome::Reject(denial) => AuthenticationOutcome::Reject {
            code: refusal(PacketKind::ConnAck, denial.code)?,
            reason: denial.reason.as_deref().map(reason),
        },
        authenticator::Outcome::Abstain => AuthenticationOutcome::Abstain,
    })
}

/// What a step came to. `again` is whether the client is connected and authenticates again.
pub(crate) fn progress(
    progress: enhanced_authenticator::Progress,
    again: bool,
    generation: &Arc<Generation>,
) -> Result<Progress, String> {
    use enhanced_authenticator::Progress as Given;
    Ok(match progress {
        Given::Accept(given) => Progress::Accept {
            grant: grant(
                authenticator::Grant {
                    principal: given.principal,
                    attributes: given.attributes,
                    permissions: given.permissions,
                    valid_for_ms: given.valid_for_ms,
                },
                &generation.id,
            )?,
            data: authentication_data(given.data)?,
        },
        Given::Reject(denial) => Progress::Reject {
            code: step_refusal(denial.code, again)?,
            reason: denial.reason.as_deref().map(reason),
        },
        Given::Abstain => Progress::Abstain,
        Given::More(challenge) => {
            let state = challenge.state;
            if state.len() > MAX_STATE_BYTES {
                let bytes = state.len();
                return Err(format!(
                    "a state of {bytes} bytes; at most {MAX_STATE_BYTES} are kept"
                ));
            }
            let state = Continuation::new(state, Arc::clone(generation));
            Progress::More(Challenge { data: authentication_data(challenge.data)?, state })
        }
    })
}

/// An extension need not know which packet refuses: what CONNACK could say and DISCONNECT cannot
/// becomes "not authorized".
fn step_refusal(code: u8, again: bool) -> Result<ReasonCode, String> {
    if !again {
        return refusal(PacketKind::ConnAck, code);
    }
    refusal(PacketKind::Disconnect, code)
        .or_else(|_| refusal(PacketKind::ConnAck, code).map(|_| ReasonCode::NotAuthorized))
}

fn authentication_data(data: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, String> {
    match data.as_ref().map_or(0, Vec::len) {
        0..=MAX_AUTHENTICATION_DATA_BYTES => Ok(data),
        bytes => Err(format!(
            "authentication data of {bytes} bytes; MQTT has room for {MAX_AUTHENTICATION_DATA_BYTES}"
        )),
    }
}

fn grant(grant: authenticator::Grant, source: &Arc<str>) -> Result<auth::Grant, String> {
    let principal = grant.principal;
    if principal.is_empty() || principal.len() > MAX_PRINCIPAL_BYTES {
        return Err(format!(
            "a principal of {} bytes; it must have 1 to {MAX_PRINCIPAL_BYTES}",
            principal.len()
        ));
    }
    if principal.chars().any(char::is_control) {
        return Err(format!("principal {principal:?} contains control characters"));
    }
    let attributes = grant.attributes;
    let bytes: usize = attributes.iter().map(|(n, v)| n.len() + v.len()).sum();
    if attributes.len() > MAX_ATTRIBUTES || bytes > MAX_ATTRIBUTE_BYTES {
        return Err(format!(
            "{} attributes of {bytes} bytes; at most {MAX_ATTRIBUTES} of {MAX_ATTRIBUTE_BYTES}",
            attributes.len()
        ));
    }
    Ok(auth::Grant {
        principal: principal.into(),
        attributes,
        permissions: grant.permissions.map(|p| permissions(p, source)),
        valid_for_ms: grant.valid_for_ms,
    })
}

pub(crate) fn permissions(given: types::PermissionSet, source: &Arc<str>) -> auth::Permissions {
    auth::Permissions {
        rules: given.rules.into_iter().map(rule).collect(),
        fallback: match given.fallback {
            types::Fallback::Deny => auth::Fallback::Deny,
            types::Fallback::Allow => auth::Fallback::Allow,
            types::Fallback::Ask => auth::Fallback::Ask,
        },
        source: Arc::clone(source),
    }
}

/// How much a client may do, as far as an extension says so.
pub(crate) fn limits(given: &client_limits::Limits) -> Result<auth::Limits, String> {
    let rate = |of: &str, rate: Option<client_limits::Rate>| {
        let Some(client_limits::Rate { per_second, burst }) = rate else { return Ok(None) };
        match per_second.min(burst) {
            0 => Err(format!(
                "a rate of {per_second} {of} a second, {burst} at once; the least is 1"
            )),
            _ => Ok(Some(auth::Rate { per_second, burst })),
        }
    };
    if given.max_inflight == Some(0) {
        return Err("0 messages on the way to the client; the least is 1".to_owned());
    }
    Ok(auth::Limits {
        messages: rate("messages", given.messages)?,
        bytes: rate("bytes", given.bytes)?,
        max_inflight: given.max_inflight,
        max_subscriptions: given.max_subscriptions,
        ..auth::Limits::default()
    })
}

fn rule(rule: types::Rule) -> auth::Rule {
    auth::Rule {
        effect: match rule.effect {
            types::Effect::Allow => auth::Effect::Allow,
            types::Effect::Deny => auth::Effect::Deny,
        },
        actions: auth::Actions {
            publish: rule.actions.contains(types::Actions::PUBLISH),
            subscribe: rule.actions.contains(types::Actions::SUBSCRIBE),
        },
        filter: rule.filter,
        max_qos: from_qos(rule.max_qos),
        retain: rule.retain,
        label: rule.label.as_deref().map(|label| reason(label).into()),
    }
}

/// `ttl` is the longest that a verdict may be remembered.
pub(crate) fn verdict(
    verdict: authorizer::Verdict,
    packet: PacketKind,
    ttl: Duration,
) -> Result<Verdict, String> {
    let reason = verdict.reason.as_deref().map(reason);
    let validity = verdict.validity.map(|given| validity(given, ttl)).transpose()?;
    Ok(match verdict.opinion {
        authorizer::Opinion::Allow => Verdict::Allow { reason, validity },
        authorizer::Opinion::Deny => {
            Verdict::Deny { code: refusal(packet, verdict.code)?, reason, validity }
        }
        authorizer::Opinion::Abstain => Verdict::Abstain,
    })
}

fn validity(given: authorizer::Validity, ttl: Duration) -> Result<Validity, String> {
    let filter = given.filter.map(|text| {
        TopicFilter::new(&text)
            .ok()
            .filter(|filter| filter.share_group().is_none())
            .map(TopicFilter::to_owned)
            .ok_or_else(|| format!("validity for {text:?}, which is not a topic filter"))
    });
    Ok(Validity {
        time: Duration::from_millis(given.ttl_ms.into()).min(ttl),
        filter: filter.transpose()?,
        max_qos: from_qos(given.max_qos),
        retain: given.retain,
    })
}

/// Those of one SUBSCRIBE.
pub(crate) fn verdicts(
    verdicts: Vec<authorizer::Verdict>,
    asked: usize,
) -> Result<Vec<Verdict>, String> {
    if verdicts.len() != asked {
        return Err(format!("{} verdicts for {asked} subscriptions", verdicts.len()));
    }
    verdicts.into_iter().map(|v| verdict(v, PacketKind::SubAck, Duration::ZERO)).collect()
}

/// Those of several publishes; `ttl` is the longest that one may be remembered.
pub(crate) fn publish_verdicts(
    verdicts: Vec<authorizer::Verdict>,
    asked: usize,
    ttl: Duration,
) -> Result<Vec<Verdict>, String> {
    if verdicts.len() != asked {
        return Err(format!("{} verdicts for {asked} publishes", verdicts.len()));
    }
    verdicts.into_iter().map(|v| verdict(v, PacketKind::PubAck, ttl)).collect()
}

pub(crate) fn from_qos(qos: types::Qos) -> QoS {
    match qos {
        types::Qos::AtMostOnce => QoS::AtMostOnce,
        types::Qos::AtLeastOnce => QoS::AtLeastOnce,
        types::Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

pub(crate) fn qos(qos: QoS) -> types::Qos {
    match qos {
        QoS::AtMostOnce => types::Qos::AtMostOnce,
        QoS::AtLeastOnce => types::Qos::AtLeastOnce,
        QoS::ExactlyOnce => types::Qos::ExactlyOnce,
    }
}

pub(crate) fn reason(text: &str) -> String {
    printable(text, MAX_REASON_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_re_authentication_says_what_disconnect_can_say() {
        assert_eq!(step_refusal(0x86, false), Ok(ReasonCode::BadUserNameOrPassword));
        assert_eq!(step_refusal(0x86, true), Ok(ReasonCode::NotAuthorized));
        assert_eq!(step_refusal(0x98, true), Ok(ReasonCode::AdministrativeAction));
        for (code, again) in
            [(0x98, false), (0x00, false), (0x00, true), (0x18, true), (0x92, true)]
        {
            assert!(step_refusal(code, again).is_err(), "{code:#x} {again}");
        }
    }

    #[test]
    fn only_errors_of_the_answering_packet_refuse() {
        use PacketKind::{ConnAck, PubAck, SubAck};
        assert_eq!(refusal(ConnAck, 0x86), Ok(ReasonCode::BadUserNameOrPassword));
        assert_eq!(refusal(PubAck, 0x87), Ok(ReasonCode::NotAuthorized));
        assert_eq!(refusal(SubAck, 0x8f), Ok(ReasonCode::TopicFilterInvalid));
        for (packet, code) in [
            (ConnAck, 0),
            (ConnAck, 0x8d),
            (PubAck, 0x10),
            (PubAck, 0x86),
            (SubAck, 0x02),
            (SubAck, 0x90),
            (PubAck, 0xff),
        ] {
            assert!(refusal(packet, code).is_err(), "{packet:?} {code:#x}");
        }
    }
}
