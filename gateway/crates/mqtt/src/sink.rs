//! Where a packet is written to, or only measured: one description of a packet serves both.

use crate::error::EncodeError;
use crate::ident::Version;
use crate::limits::{STRING_MAX, VARINT_MAX};
use crate::varint;

/// What a packet is, for [`encode`] and [`encoded_len`].
pub(crate) trait Body {
    /// Packet type and flags.
    fn first_byte(&self) -> u8;

    /// Writes what follows the fixed header. It must do the same each time that it is called.
    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError>;
}

/// Appends `body` as a packet to `out`; on an error `out` is as it was.
pub(crate) fn encode<B: Body>(
    body: &B,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let remaining = measure(|sink| body.write(version, sink))?;
    out.reserve(1 + varint::len(remaining) + remaining as usize);
    out.fixed_header(body.first_byte(), remaining);
    body.write(version, out)
}

/// Size of `body` as a packet, in bytes, fixed header included.
pub(crate) fn encoded_len<B: Body>(body: &B, version: Version) -> Result<usize, EncodeError> {
    let remaining = measure(|sink| body.write(version, sink))?;
    Ok(1 + varint::len(remaining) + remaining as usize)
}

/// Length of what `write` writes, held to what a length field can say.
pub(crate) fn measure(
    write: impl FnOnce(&mut Length) -> Result<(), EncodeError>,
) -> Result<u32, EncodeError> {
    let mut length = Length(0);
    write(&mut length)?;
    match u32::try_from(length.0) {
        Ok(len) if len <= VARINT_MAX => Ok(len),
        _ => Err(EncodeError::PacketTooLarge { remaining: length.0 }),
    }
}

/// Counts bytes.
pub(crate) struct Length(usize);

impl Length {
    /// Counts bytes that are not at hand.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.0 += bytes;
    }
}

impl Sink for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Takes bytes, and the fields that are made of them.
pub(crate) trait Sink: Sized {
    fn put(&mut self, bytes: &[u8]);

    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// Packet type, flags and remaining length (2.1).
    fn fixed_header(&mut self, first: u8, remaining: u32) {
        match u8::try_from(remaining) {
            Ok(short @ 0..0x80) => self.put(&[first, short]),
            _ => {
                self.put(&[first]);
                self.varint(remaining);
            }
        }
    }

    /// A variable byte integer that the caller has held to [`VARINT_MAX`].
    fn varint(&mut self, value: u32) {
        let (bytes, used) = varint::bytes(value);
        self.put(bytes.get(..used).unwrap_or(&bytes));
    }

    fn binary(&mut self, field: &'static str, bytes: &[u8]) -> Result<(), EncodeError> {
        let Ok(len) = u16::try_from(bytes.len()) else {
            return Err(EncodeError::TooLong { field, len: bytes.len() });
        };
        self.u16(len);
        self.put(bytes);
        Ok(())
    }

    fn string(&mut self, field: &'static str, text: &str) -> Result<(), EncodeError> {
        if text.as_bytes().contains(&0) {
            return Err(EncodeError::NulCharacter { field });
        }
        self.binary(field, text.as_bytes())
    }

    /// A topic name or filter: its type has already checked length and characters.
    fn topic(&mut self, topic: &str) {
        debug_assert!(topic.len() <= STRING_MAX);
        self.u16(topic.len() as u16);
        self.put(topic.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_its_length_cannot_express_is_refused() {
        let long = "x".repeat(STRING_MAX + 1);
        let mut out = Vec::new();
        assert_eq!(
            out.string("reason string", &long),
            Err(EncodeError::TooLong { field: "reason string", len: 65_536 })
        );
        assert!(out.is_empty());
        out.string("reason string", &long[1..]).unwrap();
        assert_eq!(out.len(), 2 + STRING_MAX);
    }

    #[test]
    fn a_packet_that_the_format_cannot_express_is_refused() {
        let mebibyte = vec![0; 1 << 20];
        let fill = |times: usize| {
            measure(|sink| {
                (0..times).for_each(|_| sink.put(&mebibyte));
                Ok(())
            })
        };
        assert_eq!(fill(255), Ok(255 << 20));
        assert_eq!(fill(256), Err(EncodeError::PacketTooLarge { remaining: 256 << 20 }));
    }
}
