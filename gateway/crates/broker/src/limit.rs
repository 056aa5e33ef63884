use crate::{Broker, Closing, Stats};

/// A limit of [`Settings`](crate::Settings) that something ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `max_packet_size`
    PacketSize,
    /// `max_topic_bytes`
    TopicBytes,
    /// `max_topic_levels`
    TopicLevels,
    /// `max_user_properties`
    UserProperties,
    /// `max_subscriptions`, or what the extension lowered it to
    Subscriptions,
    /// `receive_maximum`
    ReceiveMaximum,
    /// The messages that a client may send in a time
    MessageRate,
    /// The bytes
    ByteRate,
    /// `topic_alias_maximum`
    TopicAliases,
    /// `max_queued_messages`
    QueuedMessages,
    /// `max_queued_bytes`
    QueuedBytes,
    /// `max_queued_bytes_total`
    QueuedBytesTotal,
    /// `max_queued_messages` of a topic rule
    TopicQueuedMessages,
    /// `max_queued_bytes` of a topic rule
    TopicQueuedBytes,
    /// `max_retained_messages`
    RetainedMessages,
    /// `max_retained_bytes`
    RetainedBytes,
    /// The disk is full.
    DiskFull,
    /// The time for a packet that has begun.
    PacketTime,
    /// A stream of a connection held up the others.
    StuckStreams,
    /// The memory that the gateway may use is nearly used up.
    Memory,
}

impl Broker {
    /// Counts what the shell has refused because of a limit.
    pub fn count_limit(&mut self, limit: Limit) {
        self.stats.count_limit(limit);
    }

    /// Counts a refusal, if it is for the sake of a limit.
    pub(crate) fn count_refusal(&mut self, closing: &Closing) {
        if let Some(limit) = closing.limit {
            self.stats.count_limit(limit);
        }
    }
}

impl Stats {
    /// Counts what was refused because of a limit, each limit by itself.
    pub(crate) fn count_limit(&mut self, limit: Limit) {
        let count = match limit {
            Limit::PacketSize => &mut self.limit_packet_size,
            Limit::TopicBytes => &mut self.limit_topic_bytes,
            Limit::TopicLevels => &mut self.limit_topic_levels,
            Limit::UserProperties => &mut self.limit_user_properties,
            Limit::Subscriptions => &mut self.limit_subscriptions,
            Limit::ReceiveMaximum => &mut self.limit_receive_maximum,
            Limit::MessageRate => &mut self.limit_message_rate,
            Limit::ByteRate => &mut self.limit_byte_rate,
            Limit::TopicAliases => &mut self.limit_topic_aliases,
            Limit::QueuedMessages => &mut self.limit_queued_messages,
            Limit::QueuedBytes => &mut self.limit_queued_bytes,
            Limit::QueuedBytesTotal => &mut self.limit_queued_bytes_total,
            Limit::TopicQueuedMessages => &mut self.limit_topic_queued_messages,
            Limit::TopicQueuedBytes => &mut self.limit_topic_queued_bytes,
            Limit::RetainedMessages => &mut self.limit_retained_messages,
            Limit::RetainedBytes => &mut self.limit_retained_bytes,
            Limit::DiskFull => &mut self.limit_disk_full,
            Limit::PacketTime => &mut self.limit_packet_time,
            Limit::StuckStreams => &mut self.limit_stuck_streams,
            Limit::Memory => &mut self.limit_memory,
        };
        *count += 1;
    }
}
