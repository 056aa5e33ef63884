use std::borrow::Cow;

use super::PacketKind;
use super::ack::{Text, read_text};
use crate::error::{DecodeError, EncodeError};
use crate::ident::{PacketId, Version};
use crate::properties::{UserProperties, write_section};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::sink::{self, Body, Sink};

/// SUBACK (3.9): one code for each filter of the SUBSCRIBE that it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// Names the exchange.
    pub packet_id: PacketId,
    /// In the order of the filters; 3.1.1 knows one error only, 0x80.
    pub codes: Cow<'a, [ReasonCode]>,
    /// For people.
    pub reason: Option<&'a str>,
    /// Names and values.
    pub user: UserProperties<'a>,
}

const KIND: PacketKind = PacketKind::SubAck;

impl<'a> SubAck<'a> {
    /// An answer without text.
    pub fn new(packet_id: PacketId, codes: impl Into<Cow<'a, [ReasonCode]>>) -> Self {
        Self { packet_id, codes: codes.into(), reason: None, user: UserProperties::default() }
    }

    /// Appends it to `out`.
    ///
    /// # Errors
    /// As [`Packet::encode`](super::Packet::encode).
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_codes(KIND, &self.codes)?;
        sink::encode(self, version, out)
    }

    pub(crate) fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(KIND)?;
        let (mut reason, mut user) = (None, UserProperties::default());
        if version.is_v5() {
            (reason, user) = read_text(&mut reader, KIND)?;
        }
        let codes = read_codes(KIND, reader.rest())?;
        let v3_only = |code: &ReasonCode| code.is_error() && *code != ReasonCode::UnspecifiedError;
        if let Some(code) = codes.iter().copied().find(|c| !version.is_v5() && v3_only(c)) {
            return Err(DecodeError::ReasonCode { kind: KIND, value: code.as_u8() });
        }
        Ok(Self { packet_id, codes: codes.into(), reason, user })
    }
}

/// The codes of SUBACK or UNSUBACK: as many as bytes were received.
pub(super) fn read_codes(kind: PacketKind, bytes: &[u8]) -> Result<Vec<ReasonCode>, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::EmptyList { kind });
    }
    let code = |value: &u8| {
        let code = ReasonCode::from_u8(*value).filter(|code| kind.allows(*code));
        code.ok_or(DecodeError::ReasonCode { kind, value: *value })
    };
    bytes.iter().map(code).collect()
}

pub(super) fn check_codes(kind: PacketKind, codes: &[ReasonCode]) -> Result<(), EncodeError> {
    if codes.is_empty() {
        return Err(EncodeError::EmptyList { kind });
    }
    match codes.iter().find(|code| !kind.allows(**code)) {
        Some(code) => Err(EncodeError::ReasonCode { kind, code: *code }),
        None => Ok(()),
    }
}

impl Body for SubAck<'_> {
    fn first_byte(&self) -> u8 {
        KIND.first_byte()
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if version.is_v5() {
            write_section(&Text { reason: self.reason, user: self.user }, sink)?;
        }
        for code in self.codes.iter() {
            let failed = !version.is_v5() && code.is_error();
            sink.put(&[if failed { 0x80 } else { code.as_u8() }]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_0x80_in_3_1_1() {
        let codes = vec![ReasonCode::GrantedQos1, ReasonCode::NotAuthorized];
        let suback = SubAck::new(PacketId::MIN, codes);
        let mut out = Vec::new();
        suback.encode(Version::V3_1_1, &mut out).unwrap();
        suback.encode(Version::V5, &mut out).unwrap();
        assert_eq!(out, [0x90, 4, 0, 1, 1, 0x80, 0x90, 5, 0, 1, 0, 1, 0x87]);
        assert!(SubAck::decode(Version::V3_1_1, &[0, 1, 0x87]).is_err());
    }
}
