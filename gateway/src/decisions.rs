use std::sync::Arc;
use std::time::Duration;

use broker::{Action, Event, Grounds};
use mqtt::ReasonCode;
use serde_json::{Value, json};
use telemetry::{Lines, RotatingFile};
use transport::Address;

use crate::chain::{Refusal, Standing};
use crate::failure::Failure;
use crate::presence::Presence;
use crate::report::action_name;

/// The decision log: what was decided about whom, by which version of which extension and why, a line of JSON each. It
/// knows no passwords, tokens or payloads, and nobody waits for it.
#[derive(Debug)]
pub(crate) struct Decisions {
    lines: Lines,
    allowed: bool,
}

/// Where a client comes from.
pub(crate) struct Origin<'a> {
    pub(crate) listener: &'a str,
    pub(crate) address: Address,
    pub(crate) client_id: &'a str,
}

impl Decisions {
    /// Opens the file, if the configuration names one.
    pub(crate) fn open(stated: Option<&config::Decisions>) -> Result<Option<Arc<Self>>, Failure> {
        let Some(config::Decisions { file, max_size, kept, allowed }) = stated else {
            return Ok(None);
        };
        let sink =
            RotatingFile::open(file, *max_size, *kept).map_err(Failure::file("open", file))?;
        let lines = Lines::start("decisions", sink)
            .map_err(|error| Failure::System { what: "start a thread", error })?;
        Ok(Some(Arc::new(Self { lines, allowed: *allowed })))
    }

    /// Lines that were dropped because the disk was slower than the clients.
    pub(crate) fn dropped(&self) -> u64 {
        self.lines.dropped()
    }

    /// A client was let in, with permissions.
    pub(crate) fn accepted(&self, origin: &Origin<'_>, standing: &Standing) {
        let set = &standing.permissions;
        let mut line = begin(origin, "connect", "allowed");
        by(&mut line, &standing.authenticated_by);
        line["principal"] = json!(&*standing.identity.principal);
        line["permissions_by"] = json!(set.source());
        line["rules"] = json!(set.permissions().rules.len());
        line["valid_for_ms"] = json!(standing.valid_for_ms);
        line["took_us"] = json!(micros(standing.took));
        self.lines.write(line.to_string());
    }

    /// A client was not let in.
    pub(crate) fn refused(&self, origin: &Origin<'_>, refusal: &Refusal) {
        let mut line = begin(origin, "connect", "denied");
        if let Some(version) = &refusal.by {
            by(&mut line, version);
        }
        line["code"] = json!(refusal.code.as_u8());
        line["reason"] = json!(refusal.why);
        line["took_us"] = json!(micros(refusal.took));
        self.lines.write(line.to_string());
    }

    /// Something happened in the broker; only a denial is a decision.
    pub(crate) fn event(&self, event: &Event, presence: Option<&Presence>) {
        let Event::Denied { client_id, principal, action, topic, code, decision } = event else {
            return;
        };
        let Grounds { why, asked } = &**decision;
        let mut line = match presence {
            Some(Presence { listener, address, .. }) => begin(
                &Origin { listener, address: *address, client_id },
                action_name(*action),
                "denied",
            ),
            None => json!({
                "time_ms": now_ms(), "client": &**client_id, "action": action_name(*action), "outcome": "denied",
            }),
        };
        // It begins with the version that decided, where one did.
        let named = why.split_once(": ").map(|(name, _)| name).filter(|name| name.contains('@'));
        if let Some(version) = asked.as_ref().map(|asked| &*asked.by).or(named) {
            by(&mut line, version);
        }
        line["principal"] = json!(&**principal);
        line["topic"] = json!(&**topic);
        line["code"] = json!(code.map(ReasonCode::as_u8));
        line["reason"] = json!(why);
        line["asked"] = json!(asked.is_some());
        line["cached"] = json!(asked.as_ref().is_some_and(|asked| asked.cached));
        line["took_us"] = json!(micros(asked.as_ref().map_or(Duration::ZERO, |asked| asked.took)));
        self.lines.write(line.to_string());
    }

    /// An extension that was asked allowed it, which is written if the operator wants to read that. What it denies comes as
    /// an event, whoever said so.
    pub(crate) fn asked(&self, asked: &Asked<'_>) {
        if !self.allowed {
            return;
        }
        let Asked { client_id, principal, listener, action, topic, version, took } = asked;
        let mut line = json!({
            "time_ms": now_ms(),
            "client": client_id,
            "principal": principal,
            "listener": listener,
            "action": action_name(*action),
            "topic": topic,
            "outcome": "allowed",
            "asked": true,
            "cached": false,
            "took_us": micros(*took),
        });
        by(&mut line, version);
        self.lines.write(line.to_string());
    }
}

/// A question to an extension that was answered with yes.
pub(crate) struct Asked<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) principal: &'a str,
    pub(crate) listener: &'a str,
    pub(crate) action: Action,
    pub(crate) topic: &'a str,
    pub(crate) version: &'a str,
    pub(crate) took: Duration,
}

fn begin(origin: &Origin<'_>, action: &str, outcome: &str) -> Value {
    json!({
        "time_ms": now_ms(),
        "client": origin.client_id,
        "listener": origin.listener,
        "address": origin.address.to_string(),
        "action": action,
        "outcome": outcome,
    })
}

fn by(line: &mut Value, version: &str) {
    let (extension, _) = version.split_once('@').unwrap_or((version, ""));
    line["extension"] = json!(extension);
    line["version"] = json!(version);
}

fn now_ms() -> u64 {
    crate::clock::wall_ms()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
