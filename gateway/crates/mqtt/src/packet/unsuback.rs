use std::borrow::Cow;

use super::PacketKind;
use super::ack::{Text, read_text};
use super::suback::{check_codes, read_codes};
use crate::error::{DecodeError, EncodeError};
use crate::ident::{PacketId, Version};
use crate::properties::{UserProperties, write_section};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::sink::{self, Body, Sink};

/// UNSUBACK (3.11): one code for each filter of the UNSUBSCRIBE that it answers; none in 3.1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// Names the exchange.
    pub packet_id: PacketId,
    /// In the order of the filters; left out, and so empty, in 3.1.1.
    pub codes: Cow<'a, [ReasonCode]>,
    /// For people.
    pub reason: Option<&'a str>,
    /// Names and values.
    pub user: UserProperties<'a>,
}

const KIND: PacketKind = PacketKind::UnsubAck;

impl<'a> UnsubAck<'a> {
    /// An answer without text.
    pub fn new(packet_id: PacketId, codes: impl Into<Cow<'a, [ReasonCode]>>) -> Self {
        Self { packet_id, codes: codes.into(), reason: None, user: UserProperties::default() }
    }

    /// Appends it to `out`.
    ///
    /// # Errors
    /// As [`Packet::encode`](super::Packet::encode).
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if version.is_v5() {
            check_codes(KIND, &self.codes)?;
        }
        sink::encode(self, version, out)
    }

    pub(crate) fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(KIND)?;
        if !version.is_v5() {
            reader.finish(KIND)?;
            return Ok(Self::new(packet_id, Vec::new()));
        }
        let (reason, user) = read_text(&mut reader, KIND)?;
        let codes = read_codes(KIND, reader.rest())?.into();
        Ok(Self { packet_id, codes, reason, user })
    }
}

impl Body for UnsubAck<'_> {
    fn first_byte(&self) -> u8 {
        KIND.first_byte()
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if !version.is_v5() {
            return Ok(());
        }
        write_section(&Text { reason: self.reason, user: self.user }, sink)?;
        self.codes.iter().for_each(|code| sink.put(&[code.as_u8()]));
        Ok(())
    }
}
