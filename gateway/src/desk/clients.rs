use admin::{Answer, Request};
use broker::{Closing, SessionView, Timestamp};
use mqtt::{PacketKind, ReasonCode};
use serde_json::{Value, json};

use super::fields::{Fields, bad};
use super::limits::limits;
use crate::hub::Hub;
use crate::presence::Presence;

/// Sessions of a page, unless the request says how many, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// Bytes of the reason that a client is told, at most: it goes into one packet with little else.
const REASON_BYTES_MAX: usize = 256;

pub(super) fn page(hub: &Hub, request: &Request) -> Result<Answer, Answer> {
    let number = |name: &str, default: u32| match request.value(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| bad(format!("{name} {text:?} is not a number"))),
    };
    if let Some((name, _)) =
        request.query.iter().find(|(name, _)| name != "from" && name != "limit")
    {
        return Err(bad(format!("{name:?} has no meaning here; there are from and limit")));
    }
    let from = number("from", 0)?;
    let limit =
        usize::try_from(number("limit", u32::try_from(PAGE).unwrap_or_default())?).unwrap_or(0);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(bad(format!("limit {limit} is not from 1 to {PAGE_MAX}")));
    }
    let guests = hub.guests(from, limit);
    let each = guests.page.sessions.iter().zip(&guests.presences);
    let clients: Vec<Value> =
        each.map(|(session, presence)| client(session, presence.as_deref())).collect();
    Ok(Answer::ok(json!({ "clients": clients, "next": guests.page.next })))
}

pub(super) fn one(hub: &Hub, client_id: &str) -> Result<Answer, Answer> {
    let (session, subscriptions, presence) =
        hub.guest(client_id).ok_or_else(|| unknown(client_id))?;
    let mut value = client(&session, presence.as_deref());
    let subscriptions = subscriptions.iter().map(
        |subscription| json!({ "filter": subscription.filter, "qos": subscription.qos.as_u8() }),
    );
    value["subscription_list"] = subscriptions.collect();
    Ok(Answer::ok(value))
}

pub(super) fn disconnect(hub: &Hub, client_id: &str, request: &Request) -> Result<Answer, Answer> {
    let mut fields = Fields::of(request.body.as_ref())?;
    let code = code(fields.number("code")?)?;
    let reason =
        fields.text("reason")?.unwrap_or_else(|| "disconnected by the operator".to_owned());
    fields.finish()?;
    if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        let rule = format!("at most {REASON_BYTES_MAX} bytes, without control characters");
        return Err(bad(format!("reason is sent to the client; it has {rule}")));
    }
    if !hub.dismiss(client_id, Closing::new(code, reason)) {
        return Err(Answer::error(404, format!("client {client_id:?} is not connected")));
    }
    Ok(Answer::ok(
        json!({ "client": client_id, "code": code.as_u8(), "meaning": code.to_string() }),
    ))
}

/// A code that tells a client to go (MQTT 5, table 3-13).
fn code(stated: Option<u8>) -> Result<ReasonCode, Answer> {
    let Some(value) = stated else { return Ok(ReasonCode::AdministrativeAction) };
    let code = ReasonCode::from_u8(value);
    code.filter(|code| code.is_error() && PacketKind::Disconnect.allows(*code)).ok_or_else(|| {
        bad(format!(
            "code {value} (0x{value:02x}) is not one with which a server may disconnect a client; 152 (0x98) is \
             \"Administrative action\", 139 (0x8b) \"Server shutting down\", 151 (0x97) \"Quota exceeded\""
        ))
    })
}

pub(super) fn unknown(client_id: &str) -> Answer {
    Answer::error(404, format!("there is no session of a client {client_id:?}"))
}

fn client(session: &SessionView, presence: Option<&Presence>) -> Value {
    let ms = |at: Timestamp| at.as_unix_ms();
    json!({
        "client": &*session.client_id,
        "principal": &*session.principal,
        "connected": session.link.is_some(),
        "listener": presence.map(|presence| &*presence.listener),
        "address": presence.map(|presence| presence.address.to_string()),
        "connected_since_ms": presence.map(|presence| ms(presence.since)),
        "authenticated_by": presence.map(|presence| &*presence.authenticated_by),
        "permissions_by": session.permissions_by.as_deref(),
        "authorized_until_ms": session.authorized_until.map(ms),
        "version": session.version.to_string(),
        "durable": session.durable,
        "session_expiry_s": session.expiry_seconds,
        "offline_since_ms": session.offline_since.map(ms),
        "subscriptions": session.subscriptions,
        "queued": session.queued,
        "queued_bytes": session.queued_bytes,
        "in_flight": session.in_flight,
        "unwritten_bytes": session.unwritten_bytes,
        "limits": limits(&session.limits),
        "waits_for_rate": session.waits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_of_a_server_disconnect() {
        assert_eq!(code(None), Ok(ReasonCode::AdministrativeAction));
        assert_eq!(code(Some(0x8B)), Ok(ReasonCode::ServerShuttingDown));
        for wrong in [0x00, 0x04, 0x10, 0x86, 0x8A, 0xFF] {
            assert_eq!(code(Some(wrong)).map_err(|answer| answer.status), Err(400), "{wrong:#x}");
        }
    }
}
