//! What must hold between settings.

use std::time::Duration;

use crate::address::collide;
use crate::duration::Span;
use crate::reader::Reader;
use crate::size::Size;
use crate::{Checked, Extension};

/// Checks what no section can see alone.
pub(crate) fn check(reader: &Reader<'_>, checked: &Checked) {
    timeouts(reader, checked);
    addresses(reader, checked);
    sizes(reader, checked);
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
        for other in earlier.filter(|other| collide(other.bind, listener.bind)) {
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
