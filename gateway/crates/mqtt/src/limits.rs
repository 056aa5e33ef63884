//! The limits that the wire format itself sets. Those that an operator may choose live in the configuration.

/// Largest value of a variable byte integer (1.5.5), and so the largest remaining length, in bytes.
pub const VARINT_MAX: u32 = 268_435_455;

/// Longest variable byte integer, in bytes (1.5.5).
pub const VARINT_BYTES_MAX: usize = 4;

/// Longest fixed header, in bytes: the packet type and a remaining length (2.1).
pub const FIXED_HEADER_MAX: usize = 1 + VARINT_BYTES_MAX;

/// Largest packet that the format can express, in bytes, the fixed header included (2.1.4).
pub const PACKET_MAX: u32 = VARINT_MAX + FIXED_HEADER_MAX as u32;

/// Longest string, binary value, topic name or topic filter, in bytes (1.5.4, 1.5.6, 4.7.3).
pub const STRING_MAX: usize = u16::MAX as usize;

const _: () = assert!(VARINT_MAX == (1 << (7 * VARINT_BYTES_MAX)) - 1);
const _: () = assert!(STRING_MAX < VARINT_MAX as usize);
