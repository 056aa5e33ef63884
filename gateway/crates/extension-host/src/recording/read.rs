//! From JSON to values. A recording is a file that somebody may have changed: each fault has a sentence.

mod message;

use std::sync::Arc;

use auth::{Actions, Effect, Fallback, Identity, Limits, Permissions, Rate, Rule};
use mqtt::{QoS, ReasonCode, Version};
use serde_json::Value;

use super::RecordedCall;
use crate::answer::Verdict;
use crate::asked::{Asked, Entry, Question};
use crate::connecting::{CertificateInfo, Connecting, Transport};
use crate::said::Said;
use crate::tape::{HostCall, read_bytes, unhex};

pub(super) fn call(value: &Value) -> Result<RecordedCall, String> {
    let connection = connecting(&value["connection"])?;
    let identity = match &value["identity"] {
        Value::Null => None,
        who => Some(Arc::new(Identity {
            client_id: connection.client_id.as_str().into(),
            principal: text(who, "principal")?.into(),
            attributes: pairs(who, "attributes")?,
        })),
    };
    let hook = text(value, "hook")?;
    let question = question(&hook, &value["question"])?;
    let calls = list(value, "calls")?.iter().map(host_call).collect::<Result<_, _>>()?;
    Ok(RecordedCall {
        at_ms: number(value, "at_ms")?,
        by: text(value, "by")?.into(),
        asked: Asked { connection: Arc::new(connection), identity, question },
        said: said(&hook, &value["said"])?,
        calls,
        is_veiled: value["veiled"] == true,
    })
}

fn host_call(value: &Value) -> Result<HostCall, String> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(function), arguments, result]) => Ok(HostCall {
            function: function.clone(),
            arguments: arguments.clone(),
            result: result.clone(),
        }),
        _ => Err("calls holds something that is not [function, arguments, result]".to_owned()),
    }
}

fn connecting(value: &Value) -> Result<Connecting, String> {
    let level: u8 = number(value, "version")?;
    let transport = match text(value, "transport")?.as_str() {
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        "quic" => Transport::Quic,
        "websocket" => Transport::WebSocket,
        "unix" => Transport::Unix,
        "bridge" => Transport::Bridge,
        other => return Err(format!("transport {other:?} is not known")),
    };
    let address = text(value, "peer_address")?;
    let der = texts(value, "certificates")?.iter().map(|text| unhex(text)).collect::<Option<_>>();
    Ok(Connecting {
        connection_id: number(value, "connection_id")?,
        client_id: text(value, "client_id")?,
        username: maybe(value, "username")?,
        version: Version::from_level(level)
            .ok_or_else(|| format!("version {level} is not known"))?,
        transport,
        listener: text(value, "listener")?,
        peer_address: address
            .parse()
            .map_err(|_| format!("peer_address {address:?} is no address"))?,
        server_name: maybe(value, "server_name")?,
        alpn: maybe(value, "alpn")?,
        keep_alive: number(value, "keep_alive")?,
        clean_start: flag(value, "clean_start")?,
        session_expiry: number(value, "session_expiry")?,
        user_properties: pairs(value, "user_properties")?,
        will_topic: maybe(value, "will_topic")?,
        certificates: der.ok_or("certificates holds what is not hexadecimal")?,
        certificate: match &value["certificate"] {
            Value::Null => None,
            certificate => Some(self::certificate(certificate)?),
        },
    })
}

fn certificate(value: &Value) -> Result<CertificateInfo, String> {
    Ok(CertificateInfo {
        sha256: text(value, "sha256")?,
        subject: text(value, "subject")?,
        common_name: maybe(value, "common_name")?,
        issuer: text(value, "issuer")?,
        serial: text(value, "serial")?,
        not_after_unix_s: number(value, "not_after_unix_s")?,
        san_dns: texts(value, "san_dns")?,
        san_uri: texts(value, "san_uri")?,
        san_email: texts(value, "san_email")?,
        san_ip: texts(value, "san_ip")?,
    })
}

fn question(hook: &str, value: &Value) -> Result<Question, String> {
    Ok(match hook {
        "authenticate" => Question::Authenticate(match &value["secret"] {
            Value::Null => None,
            secret => Some(read_bytes(secret).ok_or("secret is not bytes")?),
        }),
        "permissions" => Question::Permissions,
        "limit" => Question::Limits,
        "authorize-publish" => Question::Publish {
            topic: text(value, "topic")?,
            qos: qos(value, "qos")?,
            retain: flag(value, "retain")?,
            payload_len: number(value, "payload_bytes")?,
        },
        "authorize-subscribe" => {
            let entry = |value: &Value| {
                Ok::<_, String>(Entry {
                    filter: text(value, "filter")?,
                    share_group: maybe(value, "share_group")?,
                    qos: qos(value, "qos")?,
                })
            };
            Question::Subscribe(
                list(value, "entries")?.iter().map(entry).collect::<Result<_, _>>()?,
            )
        }
        "intercept-publish" => Question::InterceptPublish(Box::new(message::shown(value)?)),
        "intercept-delivery" => Question::InterceptDelivery(Box::new(message::shown(value)?)),
        other => return Err(format!("hook {other:?} is not known")),
    })
}

/// What a hook said: the words are those of all hooks, and mean what they mean for it.
fn said(hook: &str, value: &Value) -> Result<Said, String> {
    let (kind, value) = value
        .as_object()
        .and_then(|fields| fields.iter().next())
        .ok_or("said is missing or no object")?;
    Ok(match kind.as_str() {
        "accept" => Said::Accept {
            principal: text(value, "principal")?,
            attributes: pairs(value, "attributes")?,
            permissions: match &value["permissions"] {
                Value::Null => None,
                set => Some(permissions(set)?),
            },
            valid_for_ms: value["valid_for_ms"].as_u64(),
        },
        "reject" => Said::Reject { code: number(value, "code")?, reason: maybe(value, "reason")? },
        "abstain" => Said::Abstain,
        "permissions" => Said::Permissions(permissions(value)?),
        "limits" => Said::Limits(limits(value)?),
        "verdicts" => {
            let verdicts = value.as_array().ok_or("verdicts is no list")?;
            Said::Verdicts(verdicts.iter().map(verdict).collect::<Result<_, _>>()?)
        }
        "failed" => Said::Failed { why: text(value, "why")? },
        other => match hook {
            "intercept-publish" => Said::Publish(message::publish_action(other, value)?),
            "intercept-delivery" => Said::Delivery(message::delivery_action(other, value)?),
            _ => return Err(format!("said {other:?} is not known")),
        },
    })
}

fn verdict(value: &Value) -> Result<Verdict, String> {
    if value.is_null() {
        return Ok(Verdict::Abstain);
    }
    let (reason, validity) = (maybe(value, "reason")?, None);
    if flag(value, "allow")? {
        return Ok(Verdict::Allow { reason, validity });
    }
    Ok(Verdict::Deny { code: code(value)?, reason, validity })
}

fn code(value: &Value) -> Result<ReasonCode, String> {
    let code: u8 = number(value, "code")?;
    ReasonCode::from_u8(code).ok_or_else(|| format!("code {code} is not known"))
}

fn permissions(value: &Value) -> Result<Permissions, String> {
    let rule = |value: &Value| {
        Ok::<_, String>(Rule {
            effect: if flag(value, "allow")? { Effect::Allow } else { Effect::Deny },
            actions: Actions {
                publish: flag(value, "publish")?,
                subscribe: flag(value, "subscribe")?,
            },
            filter: text(value, "filter")?,
            max_qos: qos(value, "max_qos")?,
            retain: flag(value, "retain")?,
            label: maybe(value, "label")?.map(Into::into),
        })
    };
    Ok(Permissions {
        rules: list(value, "rules")?.iter().map(rule).collect::<Result<_, _>>()?,
        fallback: match text(value, "fallback")?.as_str() {
            "deny" => Fallback::Deny,
            "allow" => Fallback::Allow,
            "ask" => Fallback::Ask,
            other => return Err(format!("fallback {other:?} is not known")),
        },
        source: text(value, "source")?.into(),
    })
}

fn limits(value: &Value) -> Result<Limits, String> {
    let rate = |name: &str| match value[name].as_array().map(Vec::as_slice) {
        None if value[name].is_null() => Ok(None),
        Some([per_second, burst]) => {
            let number = |value: &Value| value.as_u64().and_then(|it| u32::try_from(it).ok());
            let rate = number(per_second).zip(number(burst));
            let rate = rate.map(|(per_second, burst)| Rate { per_second, burst });
            rate.map(Some).ok_or_else(|| format!("{name} are no numbers that fit"))
        }
        _ => Err(format!("{name} is no rate and burst")),
    };
    let there = |name: &str| !value[name].is_null();
    Ok(Limits {
        messages: rate("messages")?,
        bytes: rate("bytes")?,
        max_inflight: there("max_inflight").then(|| number(value, "max_inflight")).transpose()?,
        max_subscriptions: there("max_subscriptions")
            .then(|| number(value, "max_subscriptions"))
            .transpose()?,
        ..Limits::default()
    })
}

fn qos(value: &Value, name: &str) -> Result<QoS, String> {
    let qos: u8 = number(value, name)?;
    QoS::from_u8(qos).ok_or_else(|| format!("{name} {qos} is not 0, 1 or 2"))
}

pub(super) fn text(value: &Value, name: &str) -> Result<String, String> {
    maybe(value, name)?.ok_or_else(|| format!("{name} is missing"))
}

fn maybe(value: &Value, name: &str) -> Result<Option<String>, String> {
    match &value[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(format!("{name} is not a text")),
    }
}

pub(super) fn number<T: TryFrom<u64>>(value: &Value, name: &str) -> Result<T, String> {
    let number = value[name].as_u64().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("{name} is missing or no number that fits"))
}

fn flag(value: &Value, name: &str) -> Result<bool, String> {
    value[name].as_bool().ok_or_else(|| format!("{name} is missing or neither true nor false"))
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], String> {
    value[name].as_array().map(Vec::as_slice).ok_or_else(|| format!("{name} is missing or no list"))
}

fn texts(value: &Value, name: &str) -> Result<Vec<String>, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts = list(value, name)?.iter().map(text).collect::<Option<_>>();
    texts.ok_or_else(|| format!("{name} is not a list of texts"))
}

fn pairs(value: &Value, name: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([Value::String(one), Value::String(other)]) => Some((one.clone(), other.clone())),
        _ => None,
    };
    let pairs = list(value, name)?.iter().map(pair).collect::<Option<_>>();
    pairs.ok_or_else(|| format!("{name} is not a list of pairs of texts"))
}
