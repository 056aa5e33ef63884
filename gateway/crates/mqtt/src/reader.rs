//! Takes fields from the front of a packet's bytes. Every length is checked against what is there.

use crate::error::DecodeError;
use crate::ident::PacketId;
use crate::packet::PacketKind;
use crate::varint;

/// What is left to read of a packet, or of a part of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Holds a packet to its end (2.1.4).
    pub(crate) fn finish(&self, kind: PacketKind) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(DecodeError::TrailingBytes { kind, extra }),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// A variable byte integer in its shortest form (MQTT-1.5.5-1).
    #[inline]
    pub(crate) fn varint(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let Some(found) = varint::read(self.rest)? else {
            return Err(DecodeError::Truncated { field, missing: 1 });
        };
        if found.is_padded() {
            return Err(DecodeError::VarintPadded { field });
        }
        self.bytes(found.bytes, field)?;
        Ok(found.value)
    }

    #[inline]
    pub(crate) fn bytes(
        &mut self,
        len: usize,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(DecodeError::Truncated { field, missing: len - self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes behind a two-byte length (1.5.6).
    #[inline]
    pub(crate) fn binary(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.u16(field)?;
        self.bytes(usize::from(len), field)
    }

    /// A UTF-8 string behind a two-byte length (1.5.4).
    pub(crate) fn string(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let text = self.utf8(field)?;
        if text.as_bytes().contains(&0) {
            return Err(DecodeError::NulCharacter { field });
        }
        Ok(text)
    }

    /// A UTF-8 string behind a two-byte length that a topic type will search for U+0000.
    #[inline]
    pub(crate) fn utf8(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let bytes = self.binary(field)?;
        std::str::from_utf8(bytes)
            .map_err(|error| DecodeError::Utf8 { field, at: error.valid_up_to() })
    }

    #[inline]
    pub(crate) fn packet_id(&mut self, kind: PacketKind) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16("packet identifier")?).ok_or(DecodeError::PacketIdZero { kind })
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(DecodeError::Truncated { field, missing: N - self.rest.len() });
        };
        self.rest = rest;
        Ok(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_end_is_refused_with_what_lacks() {
        let mut reader = Reader::new(&[0x00, 0x05, b'a', b'b']);
        assert_eq!(
            reader.string("client identifier"),
            Err(DecodeError::Truncated { field: "client identifier", missing: 3 })
        );
    }

    #[test]
    fn mqtt_1_5_4_1_ill_formed_utf8_is_refused() {
        for bad in
            [&[0xC3, 0x28][..], &[0xED, 0xA0, 0x80], &[0xF4, 0x90, 0x80, 0x80], &[0xC0, 0x80]]
        {
            let mut wire = vec![0, bad.len() as u8];
            wire.extend_from_slice(bad);
            let error = Reader::new(&wire).string("user name").unwrap_err();
            assert_eq!(error, DecodeError::Utf8 { field: "user name", at: 0 });
        }
    }

    #[test]
    fn mqtt_1_5_4_2_nul_is_refused() {
        let error = Reader::new(&[0, 2, b'a', 0]).string("user name").unwrap_err();
        assert_eq!(error, DecodeError::NulCharacter { field: "user name" });
    }

    #[test]
    fn mqtt_1_5_4_3_a_byte_order_mark_is_kept() {
        assert_eq!(Reader::new(&[0, 3, 0xEF, 0xBB, 0xBF]).string("user name"), Ok("\u{FEFF}"));
    }
}
