use std::fmt::Write as _;

use admin::Answer;
use serde_json::{Map, Value, json};

use bridge::{Health, Priority};
use broker::SessionView;

use super::Desk;
use super::metrics::{Kind, Metric, family};
use crate::bridges::{State, Status, View, client_id};

/// Each bridge, with how it is and what waits for it.
pub(super) fn document(desk: &Desk) -> Value {
    desk.bridges.statuses().iter().map(|status| one(desk, status)).collect()
}

/// Has a bridge wait, or go on.
pub(super) fn pause(desk: &Desk, name: &str, pauses: bool) -> Result<Answer, Answer> {
    if !desk.bridges.pause(name, pauses) {
        return Err(Answer::error(
            404,
            format!("there is no bridge \"{name}\"; `portcullis bridges` lists them"),
        ));
    }
    Ok(Answer::ok(json!({ "bridge": name, "paused": pauses })))
}

fn one(desk: &Desk, status: &Status) -> Value {
    let view = status.view();
    let sessions = Priority::ALL.map(|priority| desk.hub.guest(&client_id(&status.name, priority)));
    let sessions: Vec<_> = sessions.into_iter().flatten().map(|(session, ..)| session).collect();
    let sum = |of: fn(&SessionView) -> usize| sessions.iter().map(of).sum::<usize>();
    let counters = of_bridge(&view).into_iter();
    let counters: Map<_, _> =
        counters.map(|(name, _, value)| (name.to_owned(), json!(value))).collect();
    json!({
        "name": status.name,
        "state": view.state.to_string(),
        "since_ms": super::millis(view.since.elapsed()),
        "url": view.url,
        "version": if view.version.is_v5() { "5.0" } else { "3.1.1" },
        "cause": view.cause,
        "health": view.health.to_string(),
        "round_trip_ms": round_trip_ms(&view),
        "opens_at_s": view.opens_at,
        "resting": view.resting().map(|(priority, opens_at)| json!({ "priority": priority.name(), "opens_at_s": opens_at })).collect::<Vec<_>>(),
        "queued": sum(|session| session.queued),
        "queued_bytes": sum(|session| session.queued_bytes),
        "in_flight": sum(|session| session.in_flight),
        "backlog": view.backlog,
        "counters": counters,
    })
}

/// The same for Prometheus: each family with its type once, then a series for each bridge.
pub(super) fn series(text: &mut String, desk: &Desk) {
    let statuses = desk.bridges.statuses();
    let all: Vec<_> =
        statuses.iter().map(|status| (&status.name, of_bridge(&status.view()))).collect();
    let families = all.first().map(|(_, metrics)| metrics.clone()).unwrap_or_default();
    for (at, (name, kind, _)) in families.into_iter().enumerate() {
        let full = format!("portcullis_bridge_{name}");
        family(text, &full, kind);
        for (bridge, metrics) in &all {
            if let Some((_, _, value)) = metrics.get(at) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{full}{{bridge=\"{bridge}\"}} {value}");
            }
        }
    }
}

fn of_bridge(view: &View) -> Vec<Metric> {
    use Kind::{Counter, Gauge};
    let counts = &view.counts;
    vec![
        ("connected", Gauge, u64::from(view.state == State::Connected)),
        ("closed", Gauge, u64::from(view.state == State::Closed)),
        ("opens_at_s", Gauge, view.opens_at.unwrap_or_default()),
        ("resting", Gauge, view.resting().count() as u64),
        ("backlog", Gauge, u64::try_from(view.backlog).unwrap_or(u64::MAX)),
        ("connections", Counter, view.connections),
        ("failures", Counter, view.failures),
        ("sent", Counter, counts.sent),
        ("confirmed", Counter, counts.confirmed),
        ("received", Counter, counts.received),
        ("refused", Counter, counts.refused),
        ("letters_lost", Counter, counts.letters_lost),
        ("looped", Counter, counts.looped),
        ("unmatched", Counter, counts.unmatched),
        ("refused_here", Counter, counts.refused_here),
        ("dropped", Counter, counts.dropped),
        ("discarded", Counter, counts.discarded),
        ("batches", Counter, counts.batches),
        ("unpacked", Counter, counts.unpacked),
        ("bytes_saved", Counter, counts.bytes_saved),
        ("healthy", Gauge, u64::from(matches!(view.health, Health::Healthy { .. }))),
        ("probe_round_trip_ms", Gauge, round_trip_ms(view).unwrap_or_default()),
        ("probes_sent", Counter, counts.probes_sent),
        ("probes_returned", Counter, counts.probes_returned),
        ("probes_missing", Counter, counts.probes_missing),
    ]
}

fn round_trip_ms(view: &View) -> Option<u64> {
    match view.health {
        Health::Healthy { round_trip } => Some(super::millis(round_trip)),
        _ => None,
    }
}
