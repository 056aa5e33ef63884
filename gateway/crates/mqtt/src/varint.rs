//! Variable byte integers (1.5.5): seven bits a byte, least significant group first.

use crate::error::DecodeError;
use crate::limits::{VARINT_BYTES_MAX, VARINT_MAX};

/// A value and the number of bytes that stood for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Varint {
    pub(crate) value: u32,
    pub(crate) bytes: usize,
}

impl Varint {
    /// Whether fewer bytes would have done, which MQTT 5 forbids (MQTT-1.5.5-1).
    #[inline]
    pub(crate) fn is_padded(self) -> bool {
        self.bytes != len(self.value)
    }
}

/// Reads the integer at the start of `input`; `None` when it has not all arrived.
///
/// # Errors
/// [`DecodeError::VarintTooLong`] when the fourth byte announces a fifth.
#[inline]
pub(crate) fn read(input: &[u8]) -> Result<Option<Varint>, DecodeError> {
    match input.first() {
        Some(&first) if first < 0x80 => Ok(Some(Varint { value: u32::from(first), bytes: 1 })),
        _ => read_long(input),
    }
}

fn read_long(input: &[u8]) -> Result<Option<Varint>, DecodeError> {
    let mut value = 0;
    for (at, &byte) in input.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte < 0x80 {
            return Ok(Some(Varint { value, bytes: at + 1 }));
        }
    }
    if input.len() < VARINT_BYTES_MAX { Ok(None) } else { Err(DecodeError::VarintTooLong) }
}

/// Bytes that `value` takes; a value above [`VARINT_MAX`] is counted as the longest.
pub(crate) fn len(value: u32) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => VARINT_BYTES_MAX,
    }
}

/// The bytes of `value`, which the caller has held to [`VARINT_MAX`], and how many of them count.
pub(crate) fn bytes(value: u32) -> ([u8; VARINT_BYTES_MAX], usize) {
    debug_assert!(value <= VARINT_MAX);
    let used = len(value);
    let mut rest = value;
    let bytes = std::array::from_fn(|at| {
        let more = if at + 1 < used { 0x80 } else { 0 };
        let byte = (rest & 0x7F) as u8 | more;
        rest >>= 7;
        byte
    });
    (bytes, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_1_1_of_the_specification() {
        for (value, wire) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (VARINT_MAX, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let (bytes, used) = bytes(value);
            assert_eq!(&bytes[..used], wire);
            assert_eq!(read(wire), Ok(Some(Varint { value, bytes: wire.len() })));
            assert_eq!(read(&wire[..wire.len() - 1]), Ok(None));
        }
    }

    #[test]
    fn a_fifth_byte_is_refused_when_the_fourth_announces_it() {
        assert_eq!(read(&[0xFF, 0xFF, 0xFF, 0xFF]), Err(DecodeError::VarintTooLong));
        assert_eq!(read(&[0xFF, 0xFF, 0xFF]), Ok(None));
    }

    #[test]
    fn padding_is_seen() {
        let padded = read(&[0x81, 0x80, 0x00]).unwrap().unwrap();
        assert_eq!(padded.value, 1);
        assert!(padded.is_padded());
        assert!(!read(&[0x80, 0x01]).unwrap().unwrap().is_padded());
    }
}
