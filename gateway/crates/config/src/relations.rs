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
