use std::fmt::Write as _;

use admin::{Answer, Body, Request};
use extension_host::MetricValue;
use serde_json::{Map, Value, json};

use super::fields::bad;
use super::{Desk, bridges, certificates};
use crate::sentry::Counts;
use crate::system::Totals;

/// How a number behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, from 0 at the start.
    Counter,
    /// It goes up and down.
    Gauge,
}

use Kind::{Counter, Gauge};

/// A number with the name that it has in the event `counters` of the log.
pub(crate) type Metric = (&'static str, Kind, u64);

/// Media type of the exposition format of Prometheus.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn answer(desk: &Desk, request: &Request) -> Result<Answer, Answer> {
    match (request.value("format"), request.query.len()) {
        (None, 0) | (Some("json"), 1) => Ok(Answer::ok(document(desk))),
        (Some("prometheus"), 1) => {
            let text = prometheus(desk);
            Ok(Answer { status: 200, body: Body::Text { kind: PROMETHEUS, text } })
        }
        _ => Err(bad("there is format, which is json or prometheus, and nothing else")),
    }
}

fn document(desk: &Desk) -> Value {
    let gateway: Map<_, _> =
        all(desk).into_iter().map(|(name, _, value)| (name.to_owned(), json!(value))).collect();
    let extensions = desk.extensions.all().map(|extension| {
        let counters = of_extension(&extension.stats()).into_iter();
        let counters: Map<_, _> =
            counters.map(|(name, _, value)| (name.to_owned(), json!(value))).collect();
        let own = extension.metrics().into_iter().map(|metric| {
            let (kind, value) = match metric.value {
                MetricValue::Counter(value) => ("counter", json!(value)),
                MetricValue::Gauge(value) => ("gauge", json!(value)),
            };
            let labels: Map<_, _> =
                metric.labels.into_iter().map(|(name, value)| (name, json!(value))).collect();
            json!({ "name": metric.name, "labels": labels, "kind": kind, "value": value })
        });
        let own: Vec<Value> = own.collect();
        json!({ "name": extension.name(), "version": &*extension.id(), "counters": counters, "own": own })
    });
    let extensions: Vec<Value> = extensions.collect();
    let certificates = certificates::document(&desk.certificates);
    json!({
        "gateway": gateway,
        "extensions": extensions,
        "bridges": bridges::document(desk),
        "certificates": certificates,
    })
}

/// Each family with its type once, then its series, as the format demands.
fn prometheus(desk: &Desk) -> String {
    let mut text = String::new();
    for (name, kind, value) in all(desk) {
        family(&mut text, &format!("portcullis_{name}"), kind);
        // Writing to a string does not fail.
        let _ = writeln!(text, "portcullis_{name} {value}");
    }
    let stats: Vec<_> =
        desk.extensions.all().map(|e| (e.name().to_owned(), of_extension(&e.stats()))).collect();
    let families = stats.first().map(|(_, metrics)| metrics.clone()).unwrap_or_default();
    for (at, (name, kind, _)) in families.into_iter().enumerate() {
        let full = format!("portcullis_extension_{name}");
        family(&mut text, &full, kind);
        for (extension, metrics) in &stats {
            if let Some((_, _, value)) = metrics.get(at) {
                let _ = writeln!(text, "{full}{{extension=\"{extension}\"}} {value}");
            }
        }
    }
    for extension in desk.extensions.all() {
        own(&mut text, extension);
    }
    bridges::series(&mut text, desk);
    family(&mut text, certificates::SECONDS_LEFT, Gauge);
    text.push_str(&certificates::series(&desk.certificates));
    text
}

/// What an extension measures itself. Its name is in the family's, because two extensions may mean different things
/// by one name.
fn own(text: &mut String, extension: &extension_host::Extension) {
    let prefix = format!("portcullis_own_{}", extension.name().replace('-', "_"));
    let mut last = String::new();
    for metric in extension.metrics() {
        let full = format!("{prefix}_{}", metric.name);
        let (kind, value) = match metric.value {
            MetricValue::Counter(value) => (Counter, value.to_string()),
            MetricValue::Gauge(value) => (Gauge, number(value)),
        };
        if full != last {
            family(text, &full, kind);
            last.clone_from(&full);
        }
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(text, "{full}{labels} {value}");
    }
}

pub(super) fn family(text: &mut String, name: &str, kind: Kind) {
    let kind = match kind {
        Counter => "counter",
        Gauge => "gauge",
    };
    let _ = writeln!(text, "# TYPE {name} {kind}");
}

/// As the format writes numbers that Rust writes otherwise.
fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

pub(super) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn all(desk: &Desk) -> Vec<Metric> {
    let totals = Totals::gather(&desk.hub, &desk.disk);
    let mut all = traffic(&totals);
    all.extend(limits(&totals));
    all.extend(amounts(&totals));
    all.extend(of_door(&desk.sentry.counts()));
    all.extend(of_store(&desk.disk.stats(), &totals));
    all.extend(certificates::counters(&desk.certificates));
    all
}

fn traffic(totals: &Totals) -> Vec<Metric> {
    let broker = &totals.broker;
    vec![
        ("sockets", Counter, totals.sockets),
        ("connects", Counter, totals.connects),
        ("packets_received", Counter, broker.packets_received),
        ("packets_sent", Counter, broker.packets_sent),
        ("bytes_received", Counter, broker.bytes_received),
        ("bytes_sent", Counter, broker.bytes_sent),
        ("publishes_received", Counter, broker.publishes_received),
        ("publishes_sent", Counter, broker.publishes_sent),
        ("publish_bytes_received", Counter, broker.publish_bytes_received),
        ("publish_bytes_sent", Counter, broker.publish_bytes_sent),
        ("denied", Counter, broker.denied),
        ("dropped_queue_full", Counter, broker.dropped_queue_full),
        ("dropped_replaced", Counter, broker.dropped_replaced),
        ("dropped_damaged", Counter, broker.dropped_damaged),
        ("dropped_outbox_full", Counter, broker.dropped_outbox_full),
        ("dropped_too_large", Counter, broker.dropped_too_large),
        ("dropped_expired", Counter, broker.dropped_expired),
        ("dropped_not_reviewed", Counter, broker.dropped_not_reviewed),
        ("dropped_memory", Counter, broker.dropped_memory),
        ("publishes_discarded", Counter, broker.publishes_discarded),
        ("publishes_replaced", Counter, broker.publishes_replaced),
        ("deliveries_discarded", Counter, broker.deliveries_discarded),
        ("deliveries_replaced", Counter, broker.deliveries_replaced),
        ("deliveries_stored", Counter, broker.deliveries_stored),
        ("deliveries_not_stored", Counter, broker.deliveries_not_stored),
        ("sessions_expired", Counter, broker.sessions_expired),
        ("decisions_dropped", Counter, totals.decisions_dropped),
        ("events_missed", Counter, totals.events_missed),
    ]
}

fn limits(totals: &Totals) -> Vec<Metric> {
    let broker = &totals.broker;
    vec![
        ("limit_packet_size", Counter, broker.limit_packet_size),
        ("limit_topic_bytes", Counter, broker.limit_topic_bytes),
        ("limit_topic_levels", Counter, broker.limit_topic_levels),
        ("limit_user_properties", Counter, broker.limit_user_properties),
        ("limit_subscriptions", Counter, broker.limit_subscriptions),
        ("limit_receive_maximum", Counter, broker.limit_receive_maximum),
        ("limit_message_rate", Counter, broker.limit_message_rate),
        ("limit_byte_rate", Counter, broker.limit_byte_rate),
        ("limit_topic_aliases", Counter, broker.limit_topic_aliases),
        ("limit_queued_messages", Counter, broker.limit_queued_messages),
        ("limit_queued_bytes", Counter, broker.limit_queued_bytes),
        ("limit_queued_bytes_total", Counter, broker.limit_queued_bytes_total),
        ("limit_topic_queued_messages", Counter, broker.limit_topic_queued_messages),
        ("limit_topic_queued_bytes", Counter, broker.limit_topic_queued_bytes),
        ("limit_retained_messages", Counter, broker.limit_retained_messages),
        ("limit_retained_bytes", Counter, broker.limit_retained_bytes),
        ("limit_disk_full", Counter, broker.limit_disk_full),
        ("limit_packet_time", Counter, broker.limit_packet_time),
        ("limit_stuck_streams", Counter, broker.limit_stuck_streams),
        ("limit_memory", Counter, broker.limit_memory),
        ("limit_journal_bytes", Counter, totals.pauses),
    ]
}

fn of_door(counts: &Counts) -> Vec<Metric> {
    let door = &counts.warden;
    vec![
        ("limit_arrivals", Counter, door.limit_arrivals),
        ("limit_connections_per_address", Counter, door.limit_connections_per_address),
        ("limit_connections_per_identity", Counter, door.limit_connections_per_identity),
        ("limit_strangers_per_address", Counter, door.limit_strangers_per_address),
        ("limit_handshakes", Counter, counts.handshakes),
        ("limit_waiting", Counter, counts.waiting),
        ("limit_kept_back", Counter, counts.kept_back),
        ("limit_flapping", Counter, door.limit_flapping),
        ("failed_authentications", Counter, door.failed_authentications),
        ("stalled_connections", Counter, door.stalled_connections),
        ("refused_banned", Counter, door.refused_banned),
        ("bans_made", Counter, door.bans_made),
        ("bans", Gauge, door.bans),
        ("tracked_addresses", Gauge, door.tracked_addresses),
    ]
}

fn amounts(totals: &Totals) -> Vec<Metric> {
    let Totals { broker, memory, .. } = totals;
    vec![
        ("clients_connected", Gauge, broker.clients_connected),
        ("clients_maximum", Gauge, broker.clients_maximum),
        ("sessions", Gauge, broker.sessions),
        ("subscriptions", Gauge, broker.subscriptions),
        ("shared_subscriptions", Gauge, broker.shared_subscriptions),
        ("retained", Gauge, broker.retained),
        ("retained_bytes", Gauge, broker.retained_bytes),
        ("queued", Gauge, broker.queued),
        ("queued_bytes", Gauge, broker.queued_bytes),
        ("in_flight", Gauge, broker.in_flight),
        ("waiting_bytes", Gauge, broker.waiting_bytes),
        ("memory_budget", Gauge, memory.budget as u64),
        ("memory_used", Gauge, memory.used as u64),
        ("memory_resident", Gauge, memory.resident as u64),
        ("memory_heap", Gauge, memory.heap as u64),
    ]
}

fn of_store(store: &store::CommitterStats, totals: &Totals) -> Vec<Metric> {
    let mut metrics = vec![
        ("store_commits", Counter, store.commits),
        ("store_failures", Counter, store.failures),
        ("store_records_written", Counter, store.records_written),
        ("store_records_removed", Counter, store.records_removed),
        ("store_bytes", Counter, store.bytes),
        ("store_syncs", Counter, store.syncs),
        ("store_last_us", Gauge, super::micros(store.last)),
        ("store_longest_us", Gauge, super::micros(store.longest)),
        ("store_reads", Counter, store.reads),
        ("store_read_failures", Counter, store.read_failures),
        ("store_checkpoints", Counter, store.checkpoints),
        ("store_moved_bytes", Counter, store.moved_bytes),
        ("store_file_bytes", Gauge, store.usage.file_bytes),
        ("store_log_bytes", Gauge, store.usage.log_bytes),
        ("store_engine_bytes", Gauge, store.usage.engine_bytes),
        ("store_live_bytes", Gauge, store.usage.live_bytes),
        ("store_segments", Gauge, store.usage.segments),
        ("store_reserve_held", Gauge, u64::from(store.usage.reserve_held)),
        ("store_written_to_log", Counter, store.usage.written_to_log),
        ("store_written_to_engine", Counter, store.usage.written_to_engine),
    ];
    metrics.extend(totals.device_bytes.map(|bytes| ("store_device_bytes", Counter, bytes)));
    metrics
}

/// The counters of an extension.
pub(crate) fn of_extension(stats: &extension_host::Stats) -> Vec<Metric> {
    vec![
        ("calls", Counter, stats.calls),
        ("traps", Counter, stats.traps),
        ("deadline_exceeded", Counter, stats.deadline_exceeded),
        ("memory_refused", Counter, stats.memory_refused),
        ("unavailable", Counter, stats.unavailable),
        ("invalid_answers", Counter, stats.invalid_answers),
        ("saturated", Counter, stats.saturated),
        ("turned_away", Counter, stats.turned_away),
        ("breaker_open", Counter, stats.breaker_open),
        ("rebuilt", Counter, stats.rebuilt),
        ("log_dropped", Counter, stats.log_dropped),
        ("metrics_refused", Counter, stats.metrics_refused),
        ("rolled_back", Counter, stats.rolled_back),
        ("key_value_reads", Counter, stats.key_value_reads),
        ("key_value_writes", Counter, stats.key_value_writes),
        ("key_value_failures", Counter, stats.key_value_failures),
        ("key_value_bytes_read", Counter, stats.key_value_bytes_read),
        ("key_value_bytes_written", Counter, stats.key_value_bytes_written),
        ("http_requests", Counter, stats.http_requests),
        ("http_failures", Counter, stats.http_failures),
        ("http_us", Counter, stats.http_us),
        ("orders_taken", Counter, stats.orders_taken),
        ("orders_refused", Counter, stats.orders_refused),
        ("orders_undone", Counter, stats.orders_undone),
        ("instances", Gauge, stats.instances),
        ("memory_bytes", Gauge, stats.memory_bytes),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_extension_says_cannot_break_the_format() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
        let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5].map(number);
        assert_eq!(numbers, ["NaN", "+Inf", "-Inf", "0.5"]);
    }

    #[test]
    fn no_name_stands_twice() {
        let totals = Totals { device_bytes: Some(1), ..Totals::default() };
        let mut names: Vec<_> = traffic(&totals);
        names.extend(limits(&totals));
        names.extend(amounts(&totals));
        names.extend(of_door(&Counts::default()));
        names.extend(of_store(&store::CommitterStats::default(), &totals));
        let mut names: Vec<_> = names.into_iter().map(|(name, ..)| name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
