//! What must hold between settings.

use std::time::Duration;

use crate::duration::Span;
use crate::reader::Reader;
use crate::size::Size;
use crate::{Checked, Extension};

/// Checks what no section can see alone.
pub(crate) fn check(reader: &Reader<'_>, checked: &Checked) {
    timeouts(reader, checked);
    addresses(reader, checked);
    sizes(reader, checked);
    topic_limits(reader, checked);
    bridges(reader, checked);
}

fn timeouts(reader: &Reader<'_>, checked: &Checked) {
    for listener in &checked.listeners {
        let asked = |extension: &&Extension| listener.chain.contains(&extension.name);
        let total: Duration = checked
            .extensions
            .iter()
            .filter(asked)
            .map(|extension| extension.deadlines.authenticate)
            .sum();
        if total >= listener.connect_timeout {
            let timeout = format!("listeners.{}.connect-timeout", listener.name);
            let chain = format!("listeners.{}.chain", listener.name);
            let message = format!(
                "listener \"{}\": connect-timeout {} is not longer than {}, the sum of \
                 deadline.authenticate of its chain; raise it or lower a deadline",
                listener.name,
                Span(listener.connect_timeout),
                Span(total)
            );
            reader.fault_at(&[&timeout, &chain], message);
        }
    }
}

fn addresses(reader: &Reader<'_>, checked: &Checked) {
    for (at, listener) in checked.listeners.iter().enumerate() {
        let earlier = checked.listeners.iter().take(at);
        for other in earlier.filter(|other| other.bind.collides(&listener.bind)) {
            let message = format!(
                "listener \"{}\": bind \"{}\" is taken by listener \"{}\" (\"{}\"); give each its \
                 own address or port",
                listener.name, listener.bind, other.name, other.bind
            );
            reader.fault_at(&[&format!("listeners.{}.bind", listener.name)], message);
        }
    }
}

fn sizes(reader: &Reader<'_>, checked: &Checked) {
    let packet = (
        "sessions.max-packet-size",
        "[sessions]: max-packet-size",
        u64::from(checked.sessions.max_packet_size),
    );
    let queue = (
        "sessions.max-queued-bytes",
        "[sessions]: max-queued-bytes",
        checked.sessions.max_queued_bytes,
    );
    let total = (
        "broker.max-queued-bytes-total",
        "[broker]: max-queued-bytes-total",
        checked.broker.max_queued_bytes_total,
    );
    let outbound =
        ("broker.outbound-buffer", "[broker]: outbound-buffer", checked.broker.outbound_buffer);
    let pending = ("store.max-pending", "[store]: max-pending", checked.store.max_pending);
    let one_packet = "or the largest packet could never pass";
    for (small, large, why) in [
        (packet, queue, one_packet),
        (packet, outbound, one_packet),
        (packet, pending, one_packet),
        (queue, total, "or a session could never use its share"),
    ] {
        let (small_path, small_name, small) = small;
        let (large_path, large_name, large) = large;
        if small > large {
            let message = format!(
                "{small_name} ({}) is more than {} ({}), {why}; lower it or raise the other",
                Size(small),
                large_name.replace(": ", " "),
                Size(large)
            );
            reader.fault_at(&[small_path, large_path], message);
        }
    }
}

/// A topic rule takes a part of the room that each session has.
fn topic_limits(reader: &Reader<'_>, checked: &Checked) {
    let sessions = &checked.sessions;
    for rule in &checked.topics {
        let messages = rule.max_queued_messages.filter(|max| *max > sessions.max_queued_messages);
        let messages = messages.map(|max| {
            ("max-queued-messages", max.to_string(), sessions.max_queued_messages.to_string())
        });
        let bytes = rule.max_queued_bytes.filter(|max| *max > sessions.max_queued_bytes);
        let bytes = bytes.map(|max| {
            let (max, session) = (Size(max), Size(sessions.max_queued_bytes));
            ("max-queued-bytes", max.to_string(), session.to_string())
        });
        for (key, max, session) in messages.into_iter().chain(bytes) {
            let message = format!(
                "topic rule \"{}\": {key} ({max}) is more than [sessions] {key} ({session}), so that \
                 it could never be met; lower it or raise the other",
                rule.name
            );
            let path = format!("topics.{}.{key}", rule.name);
            reader.fault_at(&[&path, &format!("sessions.{key}")], message);
        }
    }
}

/// How long upstream may be away at least without its messages being given up.
const BRIDGE_EXPIRY_MIN: Duration = Duration::from_secs(3600);

/// A bridge is a client of this broker, with a session that must outlive an outage and subscriptions that must be granted.
fn bridges(reader: &Reader<'_>, checked: &Checked) {
    let Some(first) = checked.bridges.first() else { return };
    let (sessions, path) = (&checked.sessions, format!("bridges.{}", first.name));
    if sessions.max_expiry < BRIDGE_EXPIRY_MIN {
        let message = format!(
            "[sessions]: max-expiry ({}) is less than {}, and what waits for a bridge would be given up; raise it",
            Span(sessions.max_expiry),
            Span(BRIDGE_EXPIRY_MIN)
        );
        reader.fault_at(&["sessions.max-expiry", &path], message);
    }
    for bridge in &checked.bridges {
        let outs = || bridge.outward.iter().map(bridge::Rule::filter);
        let path = format!("bridges.{}", bridge.name);
        let most = sessions.max_subscriptions;
        if outs().count() > most as usize {
            let message = format!(
                "bridge \"{}\": it has more rules of out than a session may have subscriptions, [sessions] \
                 max-subscriptions ({most}); raise that",
                bridge.name
            );
            reader.fault_at(&["sessions.max-subscriptions", &path], message);
        }
        let wild = outs().find(|filter| filter.has_wildcards());
        if let Some(filter) = wild.filter(|_| !checked.mqtt.wildcard_subscriptions) {
            let message = format!(
                "bridge \"{}\": filter \"{}\" of out has wildcards, which [mqtt] wildcard-subscriptions = \
                 false refuses; set that to true",
                bridge.name,
                filter.as_str()
            );
            reader.fault_at(&["mqtt.wildcard-subscriptions", &path], message);
        }
    }
}
