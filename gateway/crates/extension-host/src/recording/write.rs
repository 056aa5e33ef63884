//! From values to JSON.

use serde_json::{Value, json};

use super::RecordedCall;
use crate::answer::Verdict;
use crate::asked::{Asked, Question, Shown};
use crate::connecting::{CertificateInfo, Connecting};
use crate::interception::{DeliveryAction, MessageChange, PublishAction};
use crate::said::Said;
use crate::tape::{HostCall, bytes, hex, written};

pub(super) fn call(call: &RecordedCall) -> Value {
    let Asked { connection, identity, question } = &call.asked;
    let identity = identity
        .as_ref()
        .map(|who| json!({ "principal": &*who.principal, "attributes": who.attributes }));
    let calls = call.calls.iter().map(|HostCall { function, arguments, result }| {
        json!([function, written(function, arguments), result])
    });
    let mut line = json!({
        "at_ms": call.at_ms,
        "by": &*call.by,
        "connection": connecting(connection),
        "identity": identity,
        "hook": call.asked.hook(),
        "question": self::question(question),
        "calls": calls.collect::<Vec<_>>(),
        "said": said(&call.said),
    });
    if call.is_veiled {
        line["veiled"] = json!(true);
    }
    line
}

fn connecting(connection: &Connecting) -> Value {
    let Connecting {
        connection_id,
        client_id,
        username,
        version,
        transport,
        listener,
        peer_address,
        server_name,
        alpn,
        keep_alive,
        clean_start,
        session_expiry,
        user_properties,
        will_topic,
        certificates,
        certificate,
    } = connection;
    json!({
        "connection_id": connection_id,
        "client_id": client_id,
        "username": username,
        "version": version.level(),
        "transport": transport.to_string(),
        "listener": listener,
        "peer_address": peer_address.to_string(),
        "server_name": server_name,
        "alpn": alpn,
        "keep_alive": keep_alive,
        "clean_start": clean_start,
        "session_expiry": session_expiry,
        "user_properties": user_properties,
        "will_topic": will_topic,
        "certificates": certificates.iter().map(|der| hex(der)).collect::<Vec<_>>(),
        "certificate": certificate.as_ref().map(self::certificate),
    })
}

fn certificate(certificate: &CertificateInfo) -> Value {
    json!({
        "sha256": certificate.sha256,
        "subject": certificate.subject,
        "common_name": certificate.common_name,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "not_after_unix_s": certificate.not_after_unix_s,
        "san_dns": certificate.san_dns,
        "san_uri": certificate.san_uri,
        "san_email": certificate.san_email,
        "san_ip": certificate.san_ip,
    })
}

fn question(question: &Question) -> Value {
    match question {
        Question::Authenticate(secret) => json!({ "secret": secret.as_deref().map(bytes) }),
        Question::Permissions | Question::Limits => json!({}),
        Question::Publish { topic, qos, retain, payload_len } => {
            json!({ "topic": topic, "qos": qos.as_u8(), "retain": retain, "payload_bytes": payload_len })
        }
        Question::Subscribe(entries) => {
            let entries = entries.iter().map(|entry| {
                json!({ "filter": entry.filter, "share_group": entry.share_group, "qos": entry.qos.as_u8() })
            });
            json!({ "entries": entries.collect::<Vec<_>>() })
        }
        Question::InterceptPublish(shown) | Question::InterceptDelivery(shown) => message(shown),
    }
}

fn message(shown: &Shown) -> Value {
    json!({
        "topic": shown.topic,
        "qos": shown.qos.as_u8(),
        "retain": shown.retain,
        "payload": bytes(&shown.payload),
        "payload_bytes": shown.payload_size,
        "content_type": shown.content_type,
        "response_topic": shown.response_topic,
        "correlation_data": shown.correlation_data.as_deref().map(bytes),
        "user_properties": shown.user_properties,
        "expiry_seconds": shown.expiry_seconds,
    })
}

fn change(change: &MessageChange) -> Value {
    json!({
        "topic": change.topic.as_deref(),
        "qos": change.qos.map(mqtt::QoS::as_u8),
        "retain": change.retain,
        "payload": change.payload.as_deref().map(bytes),
        "content_type": change.content_type,
        "user_properties": change.user_properties,
        "expiry_seconds": change.expiry_seconds,
    })
}

fn said(said: &Said) -> Value {
    match said {
        Said::Accept { principal, attributes, permissions, valid_for_ms } => json!({ "accept": {
            "principal": principal,
            "attributes": attributes,
            "permissions": permissions.as_ref().map(self::permissions),
            "valid_for_ms": valid_for_ms,
        } }),
        Said::Reject { code, reason } => json!({ "reject": { "code": code, "reason": reason } }),
        Said::Abstain => json!({ "abstain": {} }),
        Said::Permissions(set) => json!({ "permissions": permissions(set) }),
        Said::Limits(limits) => json!({ "limits": self::limits(limits) }),
        Said::Verdicts(verdicts) => {
            json!({ "verdicts": verdicts.iter().map(verdict).collect::<Vec<_>>() })
        }
        Said::Publish(PublishAction::Pass) | Said::Delivery(DeliveryAction::Pass) => {
            json!({ "pass": {} })
        }
        Said::Publish(PublishAction::Discard) | Said::Delivery(DeliveryAction::Discard) => {
            json!({ "discard": {} })
        }
        Said::Publish(PublishAction::Refuse { code, reason }) => {
            json!({ "refuse": { "code": code.as_u8(), "reason": reason } })
        }
        Said::Publish(PublishAction::Replace(changes)) => {
            json!({ "replace": changes.iter().map(change).collect::<Vec<_>>() })
        }
        Said::Delivery(DeliveryAction::Replace(it)) => json!({ "replace": [change(it)] }),
        Said::Failed { why } => json!({ "failed": { "why": why } }),
    }
}

fn limits(limits: &auth::Limits) -> Value {
    let rate = |rate: auth::Rate| json!([rate.per_second, rate.burst]);
    json!({
        "messages": limits.messages.map(rate),
        "bytes": limits.bytes.map(rate),
        "max_inflight": limits.max_inflight,
        "max_subscriptions": limits.max_subscriptions,
    })
}

/// How long a verdict holds is not compared, so it is left out.
fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Allow { reason, .. } => json!({ "allow": true, "reason": reason }),
        Verdict::Deny { code, reason, .. } => {
            json!({ "allow": false, "code": code.as_u8(), "reason": reason })
        }
        Verdict::Abstain => Value::Null,
    }
}

fn permissions(permissions: &auth::Permissions) -> Value {
    let mut value = effective(permissions);
    value["source"] = json!(&*permissions.source);
    let shown = value["rules"].as_array_mut().into_iter().flatten();
    for (shown, rule) in shown.zip(&permissions.rules) {
        shown["label"] = json!(rule.label.as_deref());
    }
    value
}

/// What a set allows, without what is for people.
pub(crate) fn effective(permissions: &auth::Permissions) -> Value {
    let rules = permissions.rules.iter().map(|rule| {
        json!({
            "allow": rule.effect == auth::Effect::Allow,
            "publish": rule.actions.publish,
            "subscribe": rule.actions.subscribe,
            "filter": rule.filter,
            "max_qos": rule.max_qos.as_u8(),
            "retain": rule.retain,
        })
    });
    let fallback = match permissions.fallback {
        auth::Fallback::Deny => "deny",
        auth::Fallback::Allow => "allow",
        auth::Fallback::Ask => "ask",
    };
    json!({ "rules": rules.collect::<Vec<_>>(), "fallback": fallback })
}
