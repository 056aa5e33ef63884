//! `[broker]`: what all clients together may use.

use std::time::Duration;

use crate::duration::Span;
use crate::section::Section;

/// Limits of the whole gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Bytes of messages that wait for all sessions together.
    pub max_queued_bytes_total: u64,
    /// Bytes of those of them that are kept in memory.
    pub queue_memory_total: u64,
    /// Retained messages.
    pub max_retained_messages: u32,
    /// Bytes of retained messages.
    pub max_retained_bytes: u64,
    /// Bytes that may wait to be written to one connection.
    pub outbound_buffer: u64,
    /// How often the gateway publishes its own values below `$SYS`; `None` never.
    pub sys_interval: Option<Duration>,
}

/// An eighth of a small SD card.
const DEFAULT_MAX_QUEUED_BYTES_TOTAL: u64 = 1 << 30;

/// A sixteenth of the memory of a box with 1 GiB.
const DEFAULT_QUEUE_MEMORY_TOTAL: u64 = 64 << 20;

const DEFAULT_MAX_RETAINED_MESSAGES: u32 = 100_000;

/// 640 bytes for each of them.
const DEFAULT_MAX_RETAINED_BYTES: u64 = 64 << 20;

/// What a radio link carries in a few seconds.
const DEFAULT_OUTBOUND_BUFFER: u64 = 1 << 20;

/// What dashboards expect.
const DEFAULT_SYS_INTERVAL: Duration = Duration::from_secs(10);

/// More often is no use to people, and work for whoever reads it.
const LEAST_SYS_INTERVAL: Duration = Duration::from_secs(1);

const MOST_SYS_INTERVAL: Duration = Duration::from_secs(86_400);

pub(crate) fn read(root: &Section<'_>) -> Broker {
    let section = root.section("broker");
    let broker = Broker {
        max_queued_bytes_total: section.size(
            "max-queued-bytes-total",
            DEFAULT_MAX_QUEUED_BYTES_TOTAL,
            1 << 10..=1 << 40,
        ),
        queue_memory_total: section.size(
            "queue-memory-total",
            DEFAULT_QUEUE_MEMORY_TOTAL,
            0..=1 << 36,
        ),
        max_retained_messages: section.number(
            "max-retained-messages",
            DEFAULT_MAX_RETAINED_MESSAGES,
            0..=100_000_000,
        ),
        max_retained_bytes: section.size(
            "max-retained-bytes",
            DEFAULT_MAX_RETAINED_BYTES,
            0..=1 << 40,
        ),
        outbound_buffer: section.size(
            "outbound-buffer",
            DEFAULT_OUTBOUND_BUFFER,
            4 << 10..=1 << 30,
        ),
        sys_interval: sys_interval(&section),
    };
    section.finish();
    broker
}

fn sys_interval(section: &Section<'_>) -> Option<Duration> {
    let key = "sys-interval";
    let range = Duration::ZERO..=MOST_SYS_INTERVAL;
    let interval = section.duration(key, DEFAULT_SYS_INTERVAL, range);
    if (Duration::from_millis(1)..LEAST_SYS_INTERVAL).contains(&interval)
        && let Some(line) = section.line_of(key)
    {
        let message = format!(
            "\"{}\" is less than {}; raise it, or write \"0s\" for never",
            Span(interval),
            Span(LEAST_SYS_INTERVAL)
        );
        section.fault(line, key, &message);
    }
    (!interval.is_zero()).then_some(interval)
}
