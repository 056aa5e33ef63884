//! Finds packets in a stream of bytes.

use crate::error::DecodeError;
use crate::ident::Version;
use crate::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketKind, Publish, SubAck, Subscribe,
    UnsubAck, Unsubscribe,
};
use crate::varint;

/// The flag of the fixed header that marks a repetition (3.3.1.1).
const DUP: u8 = 0b1000;

/// Decodes the packets of one direction of one connection.
///
/// It keeps no bytes: the caller passes what it has, beginning at a packet, and is told how
/// many of them the packet took. A packet that is too large is refused as soon as its fixed header is there.
#[derive(Debug, Clone)]
pub struct Decoder {
    version: Option<Version>,
    max_packet_size: u32,
    allows_v3_1: bool,
}

/// What the bytes begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A packet.
    Packet {
        /// The packet.
        packet: Packet<'a>,
        /// Bytes that it took.
        len: usize,
    },
    /// The beginning of a packet, or nothing.
    Incomplete {
        /// At least so many more bytes are needed.
        missing: usize,
    },
}

impl Decoder {
    /// A decoder for packets of at most `max_packet_size` bytes, fixed header included, that
    /// takes its version from the CONNECT that must come first: MQTT 3.1.1 or MQTT 5.
    pub fn new(max_packet_size: u32) -> Self {
        Self { version: None, max_packet_size, allows_v3_1: false }
    }

    /// Whether a CONNECT of MQTT 3.1 is accepted, which [`Decoder::new`] refuses with
    /// [`DecodeError::ProtocolLevel`].
    #[must_use]
    pub fn allow_v3_1(self, allows_v3_1: bool) -> Self {
        Self { allows_v3_1, ..self }
    }

    /// Sets the version, for the side that has sent CONNECT rather than received it.
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// Sets the largest packet accepted from now on, in bytes.
    pub fn set_max_packet_size(&mut self, max_packet_size: u32) {
        self.max_packet_size = max_packet_size;
    }

    /// The version, once it is known.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Decodes the packet that `input` begins with.
    ///
    /// # Errors
    /// [`DecodeError`] when `input` begins with no packet that is accepted here. What the fixed header
    /// shows, size included, is refused before the rest has arrived.
    #[inline]
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, DecodeError> {
        let Some((&first, rest)) = input.split_first() else {
            return Ok(Decoded::Incomplete { missing: 2 });
        };
        let kind = self.check_type(first)?;
        let Some(remaining) = varint::read(rest)? else {
            return Ok(Decoded::Incomplete { missing: 1 });
        };
        let len = 1 + remaining.bytes + remaining.value as usize;
        if len > self.max_packet_size as usize {
            return Err(DecodeError::PacketTooLarge { size: len, limit: self.max_packet_size });
        }
        let Some(body) = input.get(1 + remaining.bytes..len) else {
            return Ok(Decoded::Incomplete { missing: len - input.len() });
        };
        let packet = self.decode_body(kind, first & 0x0F, body)?;
        // 3.1.1 does not ask for the shortest form, and which version it is a CONNECT says in its body.
        if remaining.is_padded() && self.version.is_some_and(Version::is_v5) {
            return Err(DecodeError::VarintPadded { field: "remaining length" });
        }
        Ok(Decoded::Packet { packet, len })
    }

    /// What the first byte alone says.
    #[inline]
    fn check_type(&self, first: u8) -> Result<PacketKind, DecodeError> {
        let (value, flags) = (first >> 4, first & 0x0F);
        let kind = PacketKind::from_u8(value).ok_or(DecodeError::PacketType { value })?;
        if kind == PacketKind::Publish && self.version.is_some() {
            return Ok(kind);
        }
        match self.version {
            None if kind != PacketKind::Connect => Err(DecodeError::NotConnect { kind }),
            Some(_) if kind == PacketKind::Connect => Err(DecodeError::ConnectAgain),
            Some(version) if kind == PacketKind::Auth && !version.is_v5() => {
                Err(DecodeError::PacketType { value })
            }
            Some(Version::V3_1) if kind.resent_in_v3_1() && flags == kind.flags() | DUP => Ok(kind),
            _ if flags != kind.flags() => Err(DecodeError::Flags { kind, flags }),
            _ => Ok(kind),
        }
    }

    #[inline]
    fn decode_body<'a>(
        &mut self,
        kind: PacketKind,
        flags: u8,
        body: &'a [u8],
    ) -> Result<Packet<'a>, DecodeError> {
        let version = self.version.unwrap_or(Version::V5);
        Ok(match kind {
            PacketKind::Publish => Packet::Publish(Publish::decode(version, flags, body)?),
            PacketKind::PubAck => Packet::PubAck(Ack::decode(kind, version, body)?),
            PacketKind::PubRec => Packet::PubRec(Ack::decode(kind, version, body)?),
            PacketKind::PubRel => Packet::PubRel(Ack::decode(kind, version, body)?),
            PacketKind::PubComp => Packet::PubComp(Ack::decode(kind, version, body)?),
            PacketKind::Connect => {
                let connect = Connect::decode(body, self.allows_v3_1)?;
                self.version = Some(connect.version);
                Packet::Connect(Box::new(connect))
            }
            PacketKind::ConnAck => Packet::ConnAck(Box::new(ConnAck::decode(version, body)?)),
            PacketKind::Subscribe => Packet::Subscribe(Subscribe::decode(version, body)?),
            PacketKind::SubAck => Packet::SubAck(SubAck::decode(version, body)?),
            PacketKind::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(version, body)?),
            PacketKind::UnsubAck => Packet::UnsubAck(UnsubAck::decode(version, body)?),
            PacketKind::PingReq => empty(kind, body, Packet::PingReq)?,
            PacketKind::PingResp => empty(kind, body, Packet::PingResp)?,
            PacketKind::Disconnect => Packet::Disconnect(Disconnect::decode(version, body)?),
            PacketKind::Auth => Packet::Auth(Auth::decode(body)?),
        })
    }
}

fn empty<'a>(kind: PacketKind, body: &[u8], packet: Packet<'a>) -> Result<Packet<'a>, DecodeError> {
    match body.len() {
        0 => Ok(packet),
        extra => Err(DecodeError::TrailingBytes { kind, extra }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECT: [u8; 15] = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 10, 0, 1, b'a'];

    #[test]
    fn the_version_of_connect_holds_for_what_follows() {
        let mut decoder = Decoder::new(100);
        let Ok(Decoded::Packet { packet: Packet::Connect(connect), len }) =
            decoder.decode(&CONNECT)
        else {
            panic!("a CONNECT")
        };
        assert_eq!((connect.client_id, len), ("a", CONNECT.len()));
        assert_eq!(decoder.version(), Some(Version::V3_1_1));
        assert_eq!(decoder.decode(&[0xF0, 0]), Err(DecodeError::PacketType { value: 15 }));
    }

    #[test]
    fn what_is_missing_is_told_at_every_length() {
        for cut in 0..CONNECT.len() {
            let missing = match cut {
                0 => 2,
                1 => 1,
                cut => CONNECT.len() - cut,
            };
            let found = Decoder::new(100).decode(&CONNECT[..cut]);
            assert_eq!(found, Ok(Decoded::Incomplete { missing }), "{cut} bytes");
        }
    }

    #[test]
    fn a_packet_is_refused_by_its_fixed_header_alone() {
        let mut decoder = Decoder::new(1000);
        let size = 1 + 2 + 1000;
        let too_large = DecodeError::PacketTooLarge { size, limit: 1000 };
        assert_eq!(decoder.decode(&[0x10, 0xE8, 0x07]), Err(too_large));
        let kind = PacketKind::Publish;
        assert_eq!(decoder.decode(&[0x30, 10]), Err(DecodeError::NotConnect { kind }));
        decoder.set_version(Version::V5);
        let flags = DecodeError::Flags { kind: PacketKind::Subscribe, flags: 0 };
        assert_eq!(decoder.decode(&[0x80, 10]), Err(flags));
        assert_eq!(decoder.decode(&[0x00, 10]), Err(DecodeError::PacketType { value: 0 }));
    }

    #[test]
    fn a_first_byte_that_no_packet_has_is_refused_alone() {
        let mut decoder = Decoder::new(1000);
        let flags = DecodeError::Flags { kind: PacketKind::Connect, flags: 6 };
        assert_eq!(decoder.decode(&[0x16]), Err(flags), "a TLS record");
        decoder.set_version(Version::V3_1_1);
        assert_eq!(decoder.decode(&[0xF0]), Err(DecodeError::PacketType { value: 15 }));
    }

    #[test]
    fn mqtt_3_1_0_2_a_second_connect_is_refused() {
        let mut decoder = Decoder::new(100);
        assert!(matches!(decoder.decode(&CONNECT), Ok(Decoded::Packet { .. })));
        let again = decoder.decode(&CONNECT).unwrap_err();
        assert_eq!(again, DecodeError::ConnectAgain);
        assert_eq!(again.reason_code(), crate::ReasonCode::ProtocolError);
        assert_eq!(decoder.version(), Some(Version::V3_1_1));
    }

    #[test]
    fn mqtt_3_1_is_refused_unless_it_is_allowed() {
        let old = [&[0x10, 15, 0, 6][..], b"MQIsdp\x03\x02\x00\x0A\x00\x01a"].concat();
        let refused = DecodeError::ProtocolLevel { level: 3 };
        assert_eq!(Decoder::new(100).decode(&old), Err(refused));
        let mut decoder = Decoder::new(100).allow_v3_1(true);
        assert!(matches!(decoder.decode(&old), Ok(Decoded::Packet { len: 17, .. })));
        assert_eq!(decoder.version(), Some(Version::V3_1));
    }

    #[test]
    fn mqtt_3_1_marks_what_it_sends_again() {
        // PUBREL (MQTT 3.1, 3.6), SUBSCRIBE (3.8) and UNSUBSCRIBE (3.10) with DUP.
        let resent: [&[u8]; 3] =
            [&[0x6A, 2, 0, 1], &[0x8A, 6, 0, 1, 0, 1, b'a', 1], &[0xAA, 5, 0, 1, 0, 1, b'a']];
        for bytes in resent {
            let mut decoder = Decoder::new(100);
            decoder.set_version(Version::V3_1);
            let len = bytes.len();
            assert!(
                matches!(decoder.decode(bytes), Ok(Decoded::Packet { len: l, .. }) if l == len)
            );
            decoder.set_version(Version::V3_1_1);
            assert!(matches!(decoder.decode(bytes), Err(DecodeError::Flags { .. })));
        }
        let mut decoder = Decoder::new(100);
        decoder.set_version(Version::V3_1);
        assert!(matches!(decoder.decode(&[0x48, 2, 0, 1]), Err(DecodeError::Flags { .. })));
    }

    #[test]
    fn mqtt_1_5_5_1_a_padded_remaining_length_is_refused_in_mqtt_5_only() {
        let padded = [&[0x10, 0x80 | 13, 0x00][..], &CONNECT[2..]].concat();
        assert!(Decoder::new(100).decode(&padded).is_ok());
        let mut padded =
            [&[0x10, 0x80 | 14, 0x00][..], &CONNECT[2..12], &[0], &CONNECT[12..]].concat();
        padded[9] = 5;
        let error = DecodeError::VarintPadded { field: "remaining length" };
        assert_eq!(Decoder::new(100).decode(&padded), Err(error));
        let mut decoder = Decoder::new(100);
        decoder.set_version(Version::V5);
        assert_eq!(decoder.decode(&[0xC0, 0x80, 0x00]), Err(error));
        decoder.set_version(Version::V3_1_1);
        let packet = Packet::PingReq;
        assert_eq!(decoder.decode(&[0xC0, 0x80, 0x00]), Ok(Decoded::Packet { packet, len: 3 }));
    }
}
