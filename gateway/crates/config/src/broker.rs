//! `[broker]`: what all clients together may use.

use crate::section::Section;

/// Limits of the whole gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Bytes of messages that wait for all sessions together.
    pub max_queued_bytes_total: u64,
    /// Retained messages.
    pub max_retained_messages: u32,
    /// Bytes of retained messages.
    pub max_retained_bytes: u64,
    /// Bytes that may wait to be written to one connection.
    pub outbound_buffer: u64,
}

/// A quarter of the memory of a box with 1 GiB.
const DEFAULT_MAX_QUEUED_BYTES_TOTAL: u64 = 256 << 20;

const DEFAULT_MAX_RETAINED_MESSAGES: u32 = 100_000;

/// 640 bytes for each of them.
const DEFAULT_MAX_RETAINED_BYTES: u64 = 64 << 20;

/// What a radio link carries in a few seconds.
const DEFAULT_OUTBOUND_BUFFER: u64 = 1 << 20;

pub(crate) fn read(root: &Section<'_>) -> Broker {
    let section = root.section("broker");
    let broker = Broker {
        max_queued_bytes_total: section.size(
            "max-queued-bytes-total",
            DEFAULT_MAX_QUEUED_BYTES_TOTAL,
            1 << 10..=1 << 40,
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
    };
    section.finish();
    broker
}
