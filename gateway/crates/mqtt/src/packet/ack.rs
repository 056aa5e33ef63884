use super::PacketKind;
use crate::error::{DecodeError, EncodeError};
use crate::ident::{PacketId, Version};
use crate::properties::{
    PropertyId, PropertyList, PropertySink, Section, UserProperties, write_section,
};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::sink::{self, Body, Sink};

/// PUBACK, PUBREC, PUBREL and PUBCOMP (3.4 to 3.7), which differ in their type only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Names the exchange.
    pub packet_id: PacketId,
    /// How it went; 3.1.1 knows success only.
    pub code: ReasonCode,
    /// For people.
    pub reason: Option<&'a str>,
    /// Names and values.
    pub user: UserProperties<'a>,
}

impl<'a> Ack<'a> {
    /// An acknowledgement without text.
    pub fn new(packet_id: PacketId, code: ReasonCode) -> Self {
        Self { packet_id, code, reason: None, user: UserProperties::default() }
    }

    /// Appends it to `out` as a packet of type `kind`.
    ///
    /// # Errors
    /// As [`Packet::encode`](super::Packet::encode).
    pub fn encode(
        &self,
        kind: PacketKind,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if !kind.allows(self.code) {
            return Err(EncodeError::ReasonCode { kind, code: self.code });
        }
        sink::encode(&Typed { kind, ack: self }, version, out)
    }

    #[inline]
    pub(crate) fn decode(
        kind: PacketKind,
        version: Version,
        body: &'a [u8],
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut ack = Self::new(reader.packet_id(kind)?, ReasonCode::Success);
        if version.is_v5() && !reader.is_empty() {
            ack.read_reason(kind, &mut reader)?;
        }
        reader.finish(kind)?;
        Ok(ack)
    }

    /// Code and properties may be left out from the end (3.4.2.1, 3.4.2.2.1).
    fn read_reason(
        &mut self,
        kind: PacketKind,
        reader: &mut Reader<'a>,
    ) -> Result<(), DecodeError> {
        let value = reader.u8("reason code")?;
        self.code = ReasonCode::from_u8(value)
            .filter(|code| kind.allows(*code))
            .ok_or(DecodeError::ReasonCode { kind, value })?;
        if reader.is_empty() {
            return Ok(());
        }
        let (reason, user) = read_text(reader, kind)?;
        self.reason = reason;
        self.user = user;
        Ok(())
    }
}

/// Reads a section that may hold a reason string and user properties.
pub(super) fn read_text<'a>(
    reader: &mut Reader<'a>,
    kind: PacketKind,
) -> Result<(Option<&'a str>, UserProperties<'a>), DecodeError> {
    let mut section = Section::read(reader, kind)?;
    let mut reason = None;
    while let Some(id) = section.next()? {
        match id {
            PropertyId::ReasonString => reason = Some(section.string(id)?),
            PropertyId::UserProperty => section.skip_user_property()?,
            id => return Err(section.not_allowed(id)),
        }
    }
    Ok((reason, UserProperties::of(section.whole())))
}

/// A reason string and user properties, to be written.
pub(super) struct Text<'a> {
    pub(super) reason: Option<&'a str>,
    pub(super) user: UserProperties<'a>,
}

impl PropertyList for Text<'_> {
    fn write_list<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        sink.string_property(PropertyId::ReasonString, self.reason)?;
        self.user.write(sink);
        Ok(())
    }
}

struct Typed<'p, 'a> {
    kind: PacketKind,
    ack: &'p Ack<'a>,
}

impl Body for Typed<'_, '_> {
    fn first_byte(&self) -> u8 {
        self.kind.first_byte()
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        let Ack { packet_id, code, reason, user } = *self.ack;
        sink.u16(packet_id.get());
        let silent = reason.is_none() && user.is_empty();
        if !version.is_v5() || code == ReasonCode::Success && silent {
            return Ok(());
        }
        sink.put(&[code.as_u8()]);
        if !silent {
            write_section(&Text { reason, user }, sink)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_means_success() {
        let short = Ack::decode(PacketKind::PubAck, Version::V5, &[0, 1]).unwrap();
        let code = Ack::decode(PacketKind::PubAck, Version::V5, &[0, 1, 0]).unwrap();
        let full = Ack::decode(PacketKind::PubAck, Version::V5, &[0, 1, 0, 0]).unwrap();
        assert_eq!((short, code), (code, full));
        assert_eq!(short.code, ReasonCode::Success);
        assert!(Ack::decode(PacketKind::PubAck, Version::V3_1_1, &[0, 1, 0]).is_err());
    }

    #[test]
    fn codes_of_other_packets_are_refused() {
        let error = Ack::decode(PacketKind::PubRel, Version::V5, &[0, 1, 0x87]).unwrap_err();
        assert_eq!(error, DecodeError::ReasonCode { kind: PacketKind::PubRel, value: 0x87 });
        let mut out = Vec::new();
        let ack = Ack::new(PacketId::MIN, ReasonCode::GrantedQos1);
        assert!(ack.encode(PacketKind::PubAck, Version::V5, &mut out).is_err() && out.is_empty());
    }
}
