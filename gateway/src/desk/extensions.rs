use std::sync::Arc;

use admin::{Answer, Request};
use extension_host::{CandidateStatus, Extension, Mode, Version};
use serde_json::{Value, json};

use super::fields::{Fields, bad};
use super::{aside, millis};
use crate::extensions::{Attempt, Extensions, OrderError, Report};

pub(super) fn all(extensions: &Extensions) -> Answer {
    let all: Vec<Value> = extensions.all().map(status).collect();
    Answer::ok(json!({ "extensions": all }))
}

pub(super) fn one(extensions: &Extensions, name: &str) -> Result<Answer, Answer> {
    let found =
        extensions.find(name).ok_or_else(|| refused(&OrderError::Unknown(name.to_owned())))?;
    Ok(Answer::ok(status(found)))
}

pub(super) async fn reload(
    extensions: &Arc<Extensions>,
    name: String,
    request: &Request,
) -> Result<Answer, Answer> {
    let attempt = attempt(Fields::of(request.body.as_ref())?)?;
    let extensions = Arc::clone(extensions);
    let done = aside(move || extensions.reload_named(&name, attempt)).await?;
    told(done)
}

/// Waits for a reload of the same extension that is under way, as does [`abandon`].
pub(super) async fn promote(extensions: &Arc<Extensions>, name: String) -> Result<Answer, Answer> {
    let extensions = Arc::clone(extensions);
    told(aside(move || extensions.promote(&name)).await?)
}

pub(super) async fn abandon(extensions: &Arc<Extensions>, name: String) -> Result<Answer, Answer> {
    let extensions = Arc::clone(extensions);
    told(aside(move || extensions.abandon(&name)).await?)
}

fn attempt(mut fields: Fields) -> Result<Attempt, Answer> {
    let mode = fields.text("mode")?;
    let share: Option<u8> = fields.number("share")?;
    fields.finish()?;
    match (mode.as_deref(), share) {
        (None | Some("trial"), None) => Ok(Attempt::Trial),
        (Some("shadow"), None) => Ok(Attempt::Shadow),
        (Some("canary"), Some(share @ 1..=99)) => Ok(Attempt::Canary(share)),
        (Some("canary"), _) => {
            Err(bad("share is missing or not from 1 to 99, in percent of the clients"))
        }
        (None | Some("trial" | "shadow"), Some(_)) => {
            Err(bad("share has a meaning with mode canary only"))
        }
        (Some(other), _) => Err(bad(format!("mode {other:?} is none of trial, shadow, canary"))),
    }
}

fn told(done: Result<Report, OrderError>) -> Result<Answer, Answer> {
    let Report { outcome, before, after } = done.map_err(|error| refused(&error))?;
    Ok(Answer::ok(json!({ "outcome": outcome.name(), "before": &*before, "after": &*after })))
}

fn refused(error: &OrderError) -> Answer {
    let status = match error {
        OrderError::Unknown(_) => 404,
        OrderError::NoCandidate(_) | OrderError::Failed(_) => 409,
    };
    Answer::error(status, error.to_string())
}

fn status(extension: &Extension) -> Value {
    let (versions, stats) = (extension.versions(), extension.stats());
    let hooks: Vec<&str> = extension.hooks().names().collect();
    json!({
        "name": extension.name(),
        "hooks": hooks,
        "running": version(&versions.running),
        "candidate": versions.candidate.as_ref().map(|(of, status)| candidate(of, status)),
        "counters": super::metrics::of_extension(&stats).into_iter()
            .map(|(name, _, value)| (name.to_owned(), json!(value)))
            .collect::<serde_json::Map<_, _>>(),
    })
}

fn version(version: &Version) -> Value {
    let resting = version
        .resting
        .iter()
        .map(|(hook, left)| json!({ "hook": hook, "next_attempt_in_ms": millis(*left) }));
    json!({
        "version": &*version.id,
        "sha256": &*version.hash,
        "resting": resting.collect::<Vec<_>>(),
    })
}

fn candidate(of: &Version, status: &CandidateStatus) -> Value {
    let (mode, share, left) = match status.mode {
        Mode::Shadow => ("shadow", None, None),
        Mode::Canary(share) => ("canary", Some(share), None),
        Mode::Trial(time) => ("trial", None, Some(time.saturating_sub(status.age))),
    };
    let latest = status.latest.iter().map(|difference| {
        json!({
            "client": difference.client_id,
            "hook": difference.hook,
            "what": difference.what,
            "running": difference.running,
            "candidate": difference.candidate,
        })
    });
    let mut value = version(of);
    value["mode"] = json!(mode);
    value["share"] = json!(share);
    value["age_ms"] = json!(millis(status.age));
    value["takes_over_in_ms"] = json!(left.map(millis));
    value["decisions"] = json!(status.decisions);
    value["differences"] = json!(status.differences);
    value["skipped"] = json!(status.skipped);
    value["faults"] = json!(status.regressions);
    value["latest_differences"] = json!(latest.collect::<Vec<_>>());
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_says_how_a_version_is_tried() {
        let read = |body: Value| attempt(Fields::of(Some(&body)).unwrap());
        assert_eq!(read(json!({})), Ok(Attempt::Trial));
        assert_eq!(read(json!({"mode": "shadow"})), Ok(Attempt::Shadow));
        assert_eq!(read(json!({"mode": "canary", "share": 5})), Ok(Attempt::Canary(5)));
        for wrong in [
            json!({"mode": "canary"}),
            json!({"mode": "canary", "share": 0}),
            json!({"mode": "canary", "share": 100}),
            json!({"mode": "shadow", "share": 5}),
            json!({"mode": "slow"}),
            json!({"modus": "shadow"}),
        ] {
            assert_eq!(read(wrong.clone()).map_err(|answer| answer.status), Err(400), "{wrong}");
        }
    }
}
