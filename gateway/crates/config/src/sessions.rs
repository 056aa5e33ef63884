//! `[sessions]`: what one client may use.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::duration::Span;
use crate::section::Section;
use crate::topics::{OVERFLOWS, Overflow};

/// Limits of one session. An authenticator can lower them for a client, not raise them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// Bytes of the largest packet that is accepted.
    pub max_packet_size: u32,
    /// QoS 1 and 2 messages that a client may send before they are acknowledged.
    pub receive_maximum: u16,
    /// QoS 1 and 2 messages on their way to a client and not yet acknowledged.
    pub max_inflight: u16,
    /// Messages that wait for a client.
    pub max_queued_messages: u32,
    /// Their bytes.
    pub max_queued_bytes: u64,
    /// What happens to a message for which there is no room, where topics say nothing else.
    pub overflow: Overflow,
    /// Bytes of the messages that wait for a client and are kept in memory.
    pub queue_memory: u64,
    /// How long a session outlives its connection; what clients ask for is lowered to it.
    pub max_expiry: Duration,
    /// Longest keep alive, in whole seconds; zero allows any, and none.
    pub max_keep_alive: Duration,
    /// Subscriptions.
    pub max_subscriptions: u32,
    /// Levels of a topic or filter.
    pub max_topic_levels: u16,
    /// Bytes of a topic or filter.
    pub max_topic_bytes: u16,
    /// User properties of one packet.
    pub max_user_properties: u16,
}

/// Telemetry and commands are small; a picture or a firmware part of this size still passes.
const DEFAULT_MAX_PACKET_SIZE: u64 = 1 << 20;

/// The largest packet that MQTT can express (5.0, 2.1.4).
const MOST_PACKET_SIZE: u64 = 268_435_460;

/// Keeps a fast link with 100 ms of delay busy at 10,000 messages a second.
const DEFAULT_WINDOW: u16 = 1000;

/// A message a second for eleven days. They are on disk.
const DEFAULT_MAX_QUEUED_MESSAGES: u32 = 1_000_000;

/// One client cannot take more than half of what all may have by default.
const DEFAULT_MAX_QUEUED_BYTES: u64 = 512 << 20;

/// What a limit of messages in a queue may be.
pub(crate) const QUEUED_MESSAGES: RangeInclusive<u32> = 1..=100_000_000;

/// What a limit of bytes in a queue may be.
pub(crate) const QUEUED_BYTES: RangeInclusive<u64> = 1 << 10..=1 << 40;

/// What a client takes while the next part is read from an SD card.
const DEFAULT_QUEUE_MEMORY: u64 = 1 << 20;

/// A device that is away for a long weekend and a day finds its messages.
const DEFAULT_MAX_EXPIRY: Duration = Duration::from_secs(7 * 86_400);

/// The longest interval that is not "never" (5.0, 3.1.2.11.2), in whole days.
const MOST_EXPIRY: Duration = Duration::from_secs(49_710 * 86_400);

/// What the two bytes of the field can say (5.0, 3.1.2.10).
const MOST_KEEP_ALIVE: Duration = Duration::from_secs(65_535);

const DEFAULT_MAX_SUBSCRIPTIONS: u32 = 1000;

/// As deep as Mosquitto takes them: nobody who comes from there is refused. Deeper ones are made by mistake.
const DEFAULT_MAX_TOPIC_LEVELS: u16 = 200;

/// What MQTT can express (5.0, 1.5.4).
const MOST_TOPIC_BYTES: u64 = 65_535;

/// More fit into the largest packet only where they are as good as empty.
const DEFAULT_MAX_USER_PROPERTIES: u16 = 1000;

pub(crate) fn read(root: &Section<'_>) -> Sessions {
    let section = root.section("sessions");
    let packet =
        section.size("max-packet-size", DEFAULT_MAX_PACKET_SIZE, 1 << 10..=MOST_PACKET_SIZE);
    let topic = section.size("max-topic-bytes", MOST_TOPIC_BYTES, 1..=MOST_TOPIC_BYTES);
    let sessions = Sessions {
        max_packet_size: u32::try_from(packet).unwrap_or(u32::MAX),
        receive_maximum: section.number("receive-maximum", DEFAULT_WINDOW, 1..=u16::MAX),
        max_inflight: section.number("max-inflight", DEFAULT_WINDOW, 1..=u16::MAX),
        max_queued_messages: section.number(
            "max-queued-messages",
            DEFAULT_MAX_QUEUED_MESSAGES,
            QUEUED_MESSAGES,
        ),
        max_queued_bytes: section.size("max-queued-bytes", DEFAULT_MAX_QUEUED_BYTES, QUEUED_BYTES),
        overflow: section.choice("overflow", Overflow::Reject, &OVERFLOWS),
        queue_memory: section.size("queue-memory", DEFAULT_QUEUE_MEMORY, 0..=1 << 30),
        max_expiry: section.duration(
            "max-expiry",
            DEFAULT_MAX_EXPIRY,
            Duration::ZERO..=MOST_EXPIRY,
        ),
        max_keep_alive: keep_alive(&section),
        max_subscriptions: section.number(
            "max-subscriptions",
            DEFAULT_MAX_SUBSCRIPTIONS,
            1..=1_000_000,
        ),
        max_topic_levels: section.number(
            "max-topic-levels",
            DEFAULT_MAX_TOPIC_LEVELS,
            1..=u16::MAX,
        ),
        max_topic_bytes: u16::try_from(topic).unwrap_or(u16::MAX),
        max_user_properties: section.number(
            "max-user-properties",
            DEFAULT_MAX_USER_PROPERTIES,
            0..=u16::MAX,
        ),
    };
    section.finish();
    sessions
}

/// MQTT counts keep alive in seconds: half of one would silently become none.
fn keep_alive(section: &Section<'_>) -> Duration {
    let key = "max-keep-alive";
    let duration = section.duration(key, Duration::ZERO, Duration::ZERO..=MOST_KEEP_ALIVE);
    if duration.subsec_nanos() != 0
        && let Some(line) = section.line_of(key)
    {
        let message = format!("\"{}\" is not in whole seconds, as MQTT counts it", Span(duration));
        section.fault(line, key, &message);
    }
    duration
}
