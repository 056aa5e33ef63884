use std::fmt::Write as _;

use crate::bridges::Status;
use crate::desk::of_extension;
use crate::disk::Disk;
use crate::extensions::Extensions;
use crate::hub::Hub;
use crate::sentry::{Counts, Sentry};
use crate::system::Totals;

/// Logs every counter.
pub(crate) fn log(hub: &Hub, disk: &Disk, sentry: &Sentry, extensions: &Extensions) {
    let totals = Totals::gather(hub, disk);
    let broker = totals.broker;
    log_store(&disk.stats(), &totals);
    log_door(&sentry.counts());
    tracing::info!(
        sockets = totals.sockets,
        connects = totals.connects,
        packets_received = broker.packets_received,
        packets_sent = broker.packets_sent,
        bytes_received = broker.bytes_received,
        bytes_sent = broker.bytes_sent,
        publishes_received = broker.publishes_received,
        publishes_sent = broker.publishes_sent,
        publish_bytes_received = broker.publish_bytes_received,
        publish_bytes_sent = broker.publish_bytes_sent,
        denied = broker.denied,
        dropped_queue_full = broker.dropped_queue_full,
        dropped_replaced = broker.dropped_replaced,
        dropped_damaged = broker.dropped_damaged,
        dropped_outbox_full = broker.dropped_outbox_full,
        dropped_too_large = broker.dropped_too_large,
        dropped_expired = broker.dropped_expired,
        deliveries_stored = broker.deliveries_stored,
        deliveries_not_stored = broker.deliveries_not_stored,
        limit_packet_size = broker.limit_packet_size,
        limit_topic_bytes = broker.limit_topic_bytes,
        limit_topic_levels = broker.limit_topic_levels,
        limit_user_properties = broker.limit_user_properties,
        limit_subscriptions = broker.limit_subscriptions,
        limit_receive_maximum = broker.limit_receive_maximum,
        limit_message_rate = broker.limit_message_rate,
        limit_byte_rate = broker.limit_byte_rate,
        limit_topic_aliases = broker.limit_topic_aliases,
        limit_queued_messages = broker.limit_queued_messages,
        limit_queued_bytes = broker.limit_queued_bytes,
        limit_queued_bytes_total = broker.limit_queued_bytes_total,
        limit_topic_queued_messages = broker.limit_topic_queued_messages,
        limit_topic_queued_bytes = broker.limit_topic_queued_bytes,
        limit_retained_messages = broker.limit_retained_messages,
        limit_retained_bytes = broker.limit_retained_bytes,
        limit_journal_bytes = totals.pauses,
        clients_connected = broker.clients_connected,
        clients_maximum = broker.clients_maximum,
        sessions = broker.sessions,
        sessions_expired = broker.sessions_expired,
        subscriptions = broker.subscriptions,
        shared_subscriptions = broker.shared_subscriptions,
        retained = broker.retained,
        retained_bytes = broker.retained_bytes,
        queued = broker.queued,
        queued_bytes = broker.queued_bytes,
        in_flight = broker.in_flight,
        waiting_bytes = broker.waiting_bytes,
        limit_disk_full = broker.limit_disk_full,
        limit_packet_time = broker.limit_packet_time,
        limit_stuck_streams = broker.limit_stuck_streams,
        limit_memory = broker.limit_memory,
        dropped_memory = broker.dropped_memory,
        memory_budget = totals.memory.budget,
        memory_used = totals.memory.used,
        memory_resident = totals.memory.resident,
        memory_heap = totals.memory.heap,
        decisions_dropped = totals.decisions_dropped,
        events_missed = totals.events_missed,
        extensions = in_words(extensions),
        "counters"
    );
}

/// Those of who comes, as an event of their own.
fn log_door(counts: &Counts) {
    let door = &counts.warden;
    tracing::info!(
        limit_arrivals = door.limit_arrivals,
        limit_connections_per_address = door.limit_connections_per_address,
        limit_connections_per_identity = door.limit_connections_per_identity,
        limit_strangers_per_address = door.limit_strangers_per_address,
        limit_handshakes = counts.handshakes,
        limit_waiting = counts.waiting,
        limit_kept_back = counts.kept_back,
        limit_flapping = door.limit_flapping,
        failed_authentications = door.failed_authentications,
        stalled_connections = door.stalled_connections,
        refused_banned = door.refused_banned,
        bans_made = door.bans_made,
        bans = door.bans,
        tracked_addresses = door.tracked_addresses,
        "door counters"
    );
}

/// Those of the disk, as an event of their own.
fn log_store(store: &store::CommitterStats, totals: &Totals) {
    let us = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(
        store_commits = store.commits,
        store_failures = store.failures,
        store_records_written = store.records_written,
        store_records_removed = store.records_removed,
        store_bytes = store.bytes,
        store_syncs = store.syncs,
        store_last_us = us(store.last),
        store_longest_us = us(store.longest),
        store_reads = store.reads,
        store_read_failures = store.read_failures,
        store_checkpoints = store.checkpoints,
        store_moved_bytes = store.moved_bytes,
        store_file_bytes = store.usage.file_bytes,
        store_log_bytes = store.usage.log_bytes,
        store_engine_bytes = store.usage.engine_bytes,
        store_live_bytes = store.usage.live_bytes,
        store_segments = store.usage.segments,
        store_reserve_held = store.usage.reserve_held,
        store_written_to_log = store.usage.written_to_log,
        store_written_to_engine = store.usage.written_to_engine,
        store_device_bytes = totals.device_bytes,
        store_device_bytes_per_delivery = totals.device_bytes_per_delivery(),
        "store counters"
    );
}

/// Those of a bridge, as an event of their own.
pub(crate) fn log_bridge(status: &Status) {
    let view = status.view();
    let counts = view.counts;
    tracing::info!(
        bridge = status.name,
        state = %view.state,
        connections = view.connections,
        failures = view.failures,
        backlog = view.backlog,
        opens_at_s = view.opens_at,
        resting = view.resting().count(),
        sent = counts.sent,
        confirmed = counts.confirmed,
        received = counts.received,
        refused = counts.refused,
        letters_lost = counts.letters_lost,
        looped = counts.looped,
        unmatched = counts.unmatched,
        refused_here = counts.refused_here,
        dropped = counts.dropped,
        discarded = counts.discarded,
        batches = counts.batches,
        unpacked = counts.unpacked,
        bytes_saved = counts.bytes_saved,
        health = %view.health,
        probes_sent = counts.probes_sent,
        probes_returned = counts.probes_returned,
        probes_missing = counts.probes_missing,
        "bridge counters"
    );
}

/// `acl@1a2b3c4d calls=3 traps=0 …; password@…`: their number is not known when fields are named.
fn in_words(extensions: &Extensions) -> String {
    let mut text = String::new();
    for extension in extensions.all() {
        let separator = if text.is_empty() { "" } else { "; " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{}", extension.id());
        for (name, _, value) in of_extension(&extension.stats()) {
            let _ = write!(text, " {name}={value}");
        }
    }
    text
}
