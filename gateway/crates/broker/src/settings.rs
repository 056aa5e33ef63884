use std::time::Duration;

use mqtt::{QoS, UserPropertiesBuf};

use crate::{Overflow, TopicRule};

/// The broker's limits. Every queue has one, with a unit and an answer when it is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// QoS 1 and 2 publishes that a client may have unacknowledged (Receive Maximum,
    /// MQTT 5, 3.2.2.3.3). More: DISCONNECT 0x93 (5.0), or the socket is not read (3.1.1).
    pub receive_maximum: u16,
    /// Deliveries to one client that may be unconfirmed; the client's Receive Maximum
    /// lowers it. More wait in its queue.
    pub max_inflight: u16,
    /// Largest packet accepted, in bytes, announced in CONNACK. Larger: 0x95.
    pub max_packet_size: u32,
    /// Longest Session Expiry Interval, in seconds; what a client asks is lowered to it.
    pub max_session_expiry: u32,
    /// Longest Keep Alive, in seconds; 0 allows any, and none. What a client asks is
    /// lowered to it (Server Keep Alive, 3.2.2.3.14).
    pub max_keep_alive: u16,
    /// Messages that may wait for one session. More: [`overflow`](Self::overflow).
    pub max_queued_messages: usize,
    /// Bytes that may wait for one session; as above.
    pub max_queued_bytes: usize,
    /// Bytes that may wait for all sessions together; as above.
    pub max_queued_bytes_total: usize,
    /// What happens to a message for which a queue has no room.
    pub overflow: Overflow,
    /// How the messages of some topics are kept, where that is special.
    pub topic_rules: Vec<TopicRule>,
    /// Messages of one session's queue that are kept in memory, besides those in flight. More
    /// wait on disk and are read when their turn comes, if the session outlives its connection.
    pub max_waiting_messages: usize,
    /// Bytes of one session's queue that are kept in memory; as above.
    pub max_waiting_bytes: usize,
    /// Bytes of all queues together that are kept in memory; as above.
    pub max_waiting_bytes_total: usize,
    /// Bytes that may wait to be written to one connection. More: QoS 0 messages to it are
    /// dropped and counted, the others wait in its queue.
    pub max_outbox_bytes: usize,
    /// Subscriptions that one session may have. More: 0x97 in SUBACK.
    pub max_subscriptions: usize,
    /// Levels that a topic or filter may have. More: 0x90 or 0x8F.
    pub max_topic_levels: usize,
    /// Bytes of a topic or filter. More: 0x90 or 0x8F.
    pub max_topic_bytes: usize,
    /// User properties of one packet. More: DISCONNECT 0x97, or CONNACK 0x97.
    pub max_user_properties: usize,
    /// Topic aliases that a client may set (Topic Alias Maximum, MQTT 5, 3.2.2.3.8). Above: 0x94.
    pub topic_alias_maximum: u16,
    /// Topic aliases that a client is told; its own Topic Alias Maximum lowers it. Further
    /// topics go by their names.
    pub max_topic_aliases: u16,
    /// The highest QoS of a publish (3.2.2.3.4). Above: 0x9B. Subscriptions are granted at most this.
    pub maximum_qos: QoS,
    /// Whether messages may be retained (3.2.2.3.5). If not: 0x9A.
    pub retain_available: bool,
    /// Whether filters may have wildcards (3.2.2.3.11). If not: 0xA2.
    pub wildcards_available: bool,
    /// Whether subscriptions may have identifiers (3.2.2.3.12). If not: 0xA1.
    pub subscription_ids_available: bool,
    /// Whether subscriptions may be shared (3.2.2.3.13). If not: 0x9E.
    pub shared_available: bool,
    /// Whether a payload that says that it is UTF-8 (3.3.2.3.2) is looked at. If it is not: 0x99.
    pub validate_payload_format: bool,
    /// Whether each subscription and its end is told as an [`Event`](crate::Event): of use where somebody observes it.
    pub reports_subscriptions: bool,
    /// Retained messages. More: 0x97, nothing retained.
    pub max_retained_messages: usize,
    /// Bytes of retained messages; as above.
    pub max_retained_bytes: usize,
    /// Bytes that may wait between broker and disk. More: no socket is read until the
    /// disk has caught up.
    pub max_journal_bytes: usize,
    /// How long an online client may take to confirm a message before that is written to disk.
    pub persist_delay: Duration,
    /// User properties of CONNACK for a client whose CONNECT has one of the same name as the first: another gateway.
    pub introduction: UserPropertiesBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            receive_maximum: 1000,
            max_inflight: 1000,
            max_packet_size: 1024 * 1024,
            max_session_expiry: 7 * 24 * 3600,
            max_keep_alive: 0,
            max_queued_messages: 1_000_000,
            max_queued_bytes: 512 * 1024 * 1024,
            max_queued_bytes_total: 1024 * 1024 * 1024,
            overflow: Overflow::Reject,
            topic_rules: Vec::new(),
            max_waiting_messages: 1000,
            max_waiting_bytes: 1024 * 1024,
            max_waiting_bytes_total: 64 * 1024 * 1024,
            max_outbox_bytes: 1024 * 1024,
            max_subscriptions: 1000,
            max_topic_levels: 200,
            max_topic_bytes: 65_535,
            max_user_properties: 1000,
            topic_alias_maximum: 32,
            max_topic_aliases: 32,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            wildcards_available: true,
            subscription_ids_available: true,
            shared_available: true,
            validate_payload_format: false,
            reports_subscriptions: false,
            max_retained_messages: 100_000,
            max_retained_bytes: 64 * 1024 * 1024,
            max_journal_bytes: 8 * 1024 * 1024,
            persist_delay: Duration::from_millis(20),
            introduction: UserPropertiesBuf::default(),
        }
    }
}
