use std::sync::Arc;
use std::time::Duration;

use admin::{Answer, Request};
use serde_json::{Value, json};
use warden::{Ban, BanError, By, Whom};

use super::fields::{Fields, bad};
use super::{Desk, aside};
use crate::ban_file::document;

/// Bytes of a reason at most.
const REASON_BYTES_MAX: usize = 256;

/// How long a ban lasts at most that has an end.
const LENGTH_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

pub(super) fn list(desk: &Desk) -> Answer {
    let bans: Vec<Value> = desk.sentry.bans().iter().map(document).collect();
    Answer::ok(json!({ "bans": bans }))
}

/// Bans somebody, sends away whoever that is, and answers when the ban is on disk.
pub(super) async fn add(desk: &Desk, request: &Request) -> Result<Answer, Answer> {
    let mut fields = Fields::of(request.body.as_ref())?;
    let whom = whom(&mut fields)?;
    let length: Option<u64> = fields.number("for_ms")?;
    let reason = fields.text("reason")?.unwrap_or_else(|| "banned by the operator".to_owned());
    fields.finish()?;
    let most = u64::try_from(LENGTH_MAX.as_millis()).unwrap_or(u64::MAX);
    if length.is_some_and(|length| !(1..=most).contains(&length)) {
        return Err(bad(format!("for_ms is not from 1 to {most}; without it a ban has no end")));
    }
    if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        let rule = format!("at most {REASON_BYTES_MAX} bytes, without control characters");
        return Err(bad(format!("reason has {rule}")));
    }
    let since_unix_ms = desk.sentry.unix_ms();
    let until_unix_ms = length.map(|length| since_unix_ms.saturating_add(length));
    let by = By::Operator(request.user);
    let ban = Ban { whom, by, reason, since_unix_ms, until_unix_ms };
    desk.sentry.ban(ban.clone()).map_err(|error| match error {
        BanError::Nobody | BanError::Name => bad(error.to_string()),
        BanError::Full(_) => Answer::error(409, error.to_string()),
    })?;
    tracing::info!(user = request.user, whom = %ban.whom, why = ban.reason, "ban added");
    let (sentry, hub) = (Arc::clone(&desk.sentry), Arc::clone(&desk.hub));
    let mut answer = document(&ban);
    let (disconnected, kept) = aside(move || (hub.banish(&ban.whom), sentry.save())).await?;
    answer["disconnected"] = json!(disconnected);
    answer["kept"] = json!(kept);
    Ok(Answer::ok(answer))
}

/// Takes a ban back; the same has to be named as when it was made.
pub(super) async fn lift(desk: &Desk, request: &Request) -> Result<Answer, Answer> {
    let mut fields = Fields::of(request.body.as_ref())?;
    let whom = whom(&mut fields)?;
    fields.finish()?;
    if !desk.sentry.lift(&whom) {
        let sentence = match whom.to_string().as_str() {
            "" => BanError::Nobody.to_string(),
            named => format!(
                "there is no ban of {named}; `portcullis ban list` shows those that there are"
            ),
        };
        return Err(Answer::error(404, sentence));
    }
    tracing::info!(user = request.user, whom = %whom, "ban lifted");
    let sentry = Arc::clone(&desk.sentry);
    let kept = aside(move || sentry.save()).await?;
    Ok(Answer::ok(json!({ "lifted": whom.to_string(), "kept": kept })))
}

fn whom(fields: &mut Fields) -> Result<Whom, Answer> {
    let network = match fields.text("network")? {
        Some(text) => match text.parse() {
            Ok(network) => Some(network),
            Err(error) => return Err(bad(format!("network {text:?} {error}"))),
        },
        None => None,
    };
    Ok(Whom { network, identity: fields.text("identity")?, client: fields.text("client")? })
}
