use std::time::Duration;

use admin::{Answer, Request};
use serde_json::json;

use super::fields::{Fields, bad};
use crate::extensions::{Extensions, OrderError};
use crate::secret;

/// How long is recorded at most.
const TIME_MAX: Duration = Duration::from_secs(3600);

/// Bytes of recorded calls in one answer, about.
const PART_BYTES: usize = 1 << 20;

/// Begins a recording; answers its first line.
pub(super) fn begin(
    extensions: &Extensions,
    name: &str,
    request: &Request,
) -> Result<Answer, Answer> {
    let mut fields = Fields::of(request.body.as_ref())?;
    let time = fields.number("for_ms")?.map(Duration::from_millis);
    let secrets = fields.flag("secrets")?;
    fields.finish()?;
    let time = time.filter(|time| !time.is_zero() && *time <= TIME_MAX).ok_or_else(|| {
        bad(format!("for_ms is missing or not from 1 to {}", TIME_MAX.as_millis()))
    })?;
    let extension = extensions.find(name).ok_or_else(|| unknown(name))?;
    let key = match secrets {
        true => None,
        false => Some(secret::random().map_err(|failure| Answer::error(500, failure.to_string()))?),
    };
    let header = extension.record(time, key).ok_or_else(|| {
        Answer::error(409, format!("extension \"{name}\" is being recorded already"))
    })?;
    tracing::info!(
        extension = header.version,
        ms = super::millis(time),
        secrets,
        "recording begins"
    );
    Ok(Answer::ok(json!({ "header": header.line() })))
}

/// What was recorded since the last time.
pub(super) fn part(extensions: &Extensions, name: &str) -> Result<Answer, Answer> {
    let extension = extensions.find(name).ok_or_else(|| unknown(name))?;
    let part = extension
        .take_recording(PART_BYTES)
        .ok_or_else(|| Answer::error(409, format!("extension \"{name}\" is not being recorded")))?;
    Ok(Answer::ok(json!({ "lines": part.lines, "last": part.is_last, "lost": part.lost })))
}

fn unknown(name: &str) -> Answer {
    Answer::error(404, OrderError::Unknown(name.to_owned()).to_string())
}
