use mqtt::Publish;

use crate::{Broker, Outbox};

/// What has happened since start, for metrics, and how much there is now. What is counted per
/// packet is a plain number beside the broker's other state, so that counting costs an addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets of clients received, refused ones included.
    pub packets_received: u64,
    /// Packets handed to connections to be written.
    pub packets_sent: u64,
    /// Bytes of [`packets_received`](Self::packets_received).
    pub bytes_received: u64,
    /// Bytes of [`packets_sent`](Self::packets_sent).
    pub bytes_sent: u64,
    /// PUBLISH packets received, duplicates included.
    pub publishes_received: u64,
    /// PUBLISH packets sent.
    pub publishes_sent: u64,
    /// Payload bytes of [`publishes_received`](Self::publishes_received).
    pub publish_bytes_received: u64,
    /// Payload bytes of [`publishes_sent`](Self::publishes_sent).
    pub publish_bytes_sent: u64,
    /// Publishes, subscriptions and deliveries denied.
    pub denied: u64,
    /// Dropped because a queue was full.
    pub dropped_queue_full: u64,
    /// Dropped because a connection did not drain.
    pub dropped_outbox_full: u64,
    /// Dropped because the client does not accept packets that large.
    pub dropped_too_large: u64,
    /// Dropped because they expired.
    pub dropped_expired: u64,
    /// Dropped because a later message on the same topic took their place.
    pub dropped_replaced: u64,
    /// Dropped because they could not be read from disk any more.
    pub dropped_damaged: u64,
    /// Dropped because an interceptor that was to see them failed.
    pub dropped_not_reviewed: u64,
    /// Publishes that interceptors discarded.
    pub publishes_discarded: u64,
    /// Publishes that interceptors replaced with others.
    pub publishes_replaced: u64,
    /// Deliveries that interceptors discarded.
    pub deliveries_discarded: u64,
    /// Deliveries that interceptors changed.
    pub deliveries_replaced: u64,
    /// Deliveries written to disk.
    pub deliveries_stored: u64,
    /// Deliveries to durable sessions confirmed before they had to be written.
    pub deliveries_not_stored: u64,
    /// Packets larger than `max_packet_size`.
    pub limit_packet_size: u64,
    /// Topics and filters longer than `max_topic_bytes`.
    pub limit_topic_bytes: u64,
    /// Topics and filters with more levels than `max_topic_levels`.
    pub limit_topic_levels: u64,
    /// Packets with more user properties than `max_user_properties`.
    pub limit_user_properties: u64,
    /// Subscriptions beyond `max_subscriptions`, or what the extension lowered it to.
    pub limit_subscriptions: u64,
    /// Publishes beyond `receive_maximum`.
    pub limit_receive_maximum: u64,
    /// How often a client had to wait, or was disconnected, because it sent more messages in a time than it may.
    pub limit_message_rate: u64,
    /// The same because of bytes.
    pub limit_byte_rate: u64,
    /// Topic aliases above `topic_alias_maximum`.
    pub limit_topic_aliases: u64,
    /// Deliveries not queued because of `max_queued_messages`.
    pub limit_queued_messages: u64,
    /// Deliveries not queued because of `max_queued_bytes`.
    pub limit_queued_bytes: u64,
    /// Deliveries not queued because of `max_queued_bytes_total`.
    pub limit_queued_bytes_total: u64,
    /// Deliveries not queued because of `max_queued_messages` of a topic rule.
    pub limit_topic_queued_messages: u64,
    /// Deliveries not queued because of `max_queued_bytes` of a topic rule.
    pub limit_topic_queued_bytes: u64,
    /// Messages not retained because of `max_retained_messages`.
    pub limit_retained_messages: u64,
    /// Messages not retained because of `max_retained_bytes`.
    pub limit_retained_bytes: u64,
    /// Publishes refused because the disk was full.
    pub limit_disk_full: u64,
    /// Connections that ended because a packet that had begun did not come in time.
    pub limit_packet_time: u64,
    /// Streams of connections closed because they held up the others.
    pub limit_stuck_streams: u64,
    /// Connections, subscriptions, retained messages and publishes refused because memory ran short.
    pub limit_memory: u64,
    /// Publishes of QoS 0 that went to nobody because memory ran short.
    pub dropped_memory: u64,
    /// Sessions that ended because their client did not come back in time.
    pub sessions_expired: u64,
    /// The most clients that were connected at one time.
    pub clients_maximum: u64,

    /// Connected clients now.
    pub clients_connected: u64,
    /// Sessions now, connected or not.
    pub sessions: u64,
    /// Subscriptions now, shared ones included.
    pub subscriptions: u64,
    /// Shared subscriptions now.
    pub shared_subscriptions: u64,
    /// Retained messages now, without those of the gateway itself.
    pub retained: u64,
    /// Bytes of [`retained`](Self::retained).
    pub retained_bytes: u64,
    /// Messages that wait for sessions now, sent and unconfirmed ones included. One that waits
    /// for several counts for each.
    pub queued: u64,
    /// Bytes that wait in queues now.
    pub queued_bytes: u64,
    /// Those of them that are kept in memory.
    pub waiting_bytes: u64,
    /// Messages sent and not confirmed now.
    pub in_flight: u64,
}

impl Stats {
    /// Publications that did not reach a session that they were for.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped_queue_full
            + self.dropped_outbox_full
            + self.dropped_too_large
            + self.dropped_expired
            + self.dropped_damaged
            + self.dropped_replaced
            + self.dropped_not_reviewed
            + self.dropped_memory
    }

    pub(crate) fn count_publish(&mut self, publish: &Publish<'_>) {
        self.publishes_received += 1;
        self.publish_bytes_received += publish.payload.len() as u64;
    }

    pub(crate) fn count_sent(&mut self, payload: &[u8]) {
        self.publishes_sent += 1;
        self.publish_bytes_sent += payload.len() as u64;
    }

    pub(crate) fn count_output(&mut self, outbox: &Outbox) {
        self.packets_sent += outbox.packets();
        self.bytes_sent += outbox.len() as u64;
    }
}

impl Broker {
    /// Counts what came over the network; whoever reads it knows its size, and says it once for
    /// many packets.
    pub fn count_input(&mut self, packets: u64, bytes: u64) {
        self.stats.packets_received += packets;
        self.stats.bytes_received += bytes;
    }

    /// What has happened since start, and how much there is now. Looks at every session, so it is
    /// for once in a while.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            sessions: self.clients.len() as u64,
            subscriptions: self.subscriptions.len() as u64,
            shared_subscriptions: self.subscriptions.groups.members() as u64,
            retained: self.retained.len() as u64,
            retained_bytes: self.retained.weight() as u64,
            queued_bytes: self.queued_bytes as u64,
            waiting_bytes: self.waiting_bytes as u64,
            ..self.stats
        };
        let (mut queued, mut waiting) = (0, 0);
        for (_, client) in &self.clients {
            queued += client.outbound.weight();
            waiting += client.outbound.weight_in_memory();
            stats.queued += client.outbound.len() as u64;
            stats.in_flight += client.outbound.in_flight() as u64;
        }
        debug_assert_eq!((queued, waiting), (self.queued_bytes, self.waiting_bytes));
        stats
    }
}
