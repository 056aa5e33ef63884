use std::fmt;

use super::PacketKind;
use crate::error::{DecodeError, EncodeError};
use crate::filter::TopicFilter;
use crate::ident::{PacketId, QoS, Version};
use crate::limits::VARINT_MAX;
use crate::properties::{
    PropertyId, PropertyList, Section, UserProperties, out_of_range, write_section,
};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::sink::{self, Body, Sink};

/// SUBSCRIBE (3.8): a client asks for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Names the exchange.
    pub packet_id: PacketId,
    /// Is to come with each message that these subscriptions bring, 1 to 268435455 (3.8.2.1.2).
    pub subscription_id: Option<u32>,
    /// Names and values.
    pub user: UserProperties<'a>,
    /// What is asked for; at least one.
    pub filters: SubscribeFilters<'a>,
}

/// How a subscription wants its messages (3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeOptions {
    /// The highest QoS.
    pub qos: QoS,
    /// Leave out what the subscriber itself publishes.
    pub no_local: bool,
    /// Leave the RETAIN flag as the publisher set it.
    pub retain_as_published: bool,
    /// What to do with messages that are retained already.
    pub retain_handling: RetainHandling,
}

/// What becomes of retained messages when a subscription is made (3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// They are sent.
    #[default]
    SendAtSubscribe = 0,
    /// They are sent if there was no such subscription before.
    SendIfNew = 1,
    /// They are not sent.
    DoNotSend = 2,
}

impl SubscribeOptions {
    /// The byte on the wire.
    pub const fn as_u8(self) -> u8 {
        self.qos.as_u8()
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }

    /// The options that a byte on the wire stands for, if it is one.
    pub const fn from_u8(byte: u8) -> Option<Self> {
        let retain_handling = match byte >> 4 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return None,
        };
        let Some(qos) = QoS::from_u8(byte & 0b11) else { return None };
        let (no_local, retain_as_published) = (byte & 0b100 != 0, byte & 0b1000 != 0);
        Some(Self { qos, no_local, retain_as_published, retain_handling })
    }
}

const KIND: PacketKind = PacketKind::Subscribe;

impl<'a> Subscribe<'a> {
    /// Appends it to `out`.
    ///
    /// # Errors
    /// As [`Packet::encode`](super::Packet::encode).
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.filters.entries.is_empty() {
            return Err(EncodeError::EmptyList { kind: KIND });
        }
        if let Some(id @ (0 | VARINT_MAX..)) = self.subscription_id.filter(|id| *id != VARINT_MAX) {
            let rule = "it must be 1 to 268435455";
            return Err(EncodeError::Value { field: "subscription identifier", value: id, rule });
        }
        sink::encode(self, version, out)
    }

    pub(crate) fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(KIND)?;
        let (mut subscription_id, mut user) = (None, UserProperties::default());
        if version.is_v5() {
            let mut section = Section::read(&mut reader, KIND)?;
            user = UserProperties::of(section.whole());
            while let Some(id) = section.next()? {
                match id {
                    PropertyId::SubscriptionIdentifier => match section.varint(id)? {
                        0 => return Err(out_of_range(id, 0, "it must be 1 to 268435455")),
                        value => subscription_id = Some(value),
                    },
                    PropertyId::UserProperty => section.skip_user_property()?,
                    id => return Err(section.not_allowed(id)),
                }
            }
        }
        let filters = SubscribeFilters::decode(version, reader)?;
        Ok(Self { packet_id, subscription_id, user, filters })
    }
}

/// Filters and options, in the order of the packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SubscribeFilters<'a> {
    entries: &'a [u8],
}

impl<'a> SubscribeFilters<'a> {
    fn decode(version: Version, mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        if reader.is_empty() {
            return Err(DecodeError::EmptyList { kind: KIND });
        }
        let entries = reader.clone().rest();
        while !reader.is_empty() {
            let filter = read_filter(&mut reader)?;
            let byte = reader.u8("subscription options")?;
            let options = SubscribeOptions::from_u8(byte)
                .filter(|options| version.is_v5() || byte == options.qos.as_u8())
                .ok_or_else(|| bad_options(version, byte))?;
            if options.no_local && filter.share_group().is_some() {
                return Err(DecodeError::NoLocalOnShared);
            }
        }
        Ok(Self { entries })
    }

    /// Filters and options.
    pub fn iter(self) -> impl Iterator<Item = (TopicFilter<'a>, SubscribeOptions)> {
        let mut reader = Reader::new(self.entries);
        std::iter::from_fn(move || {
            let filter = TopicFilter::checked_before(reader.utf8("").ok()?);
            Some((filter, SubscribeOptions::from_u8(reader.u8("").ok()?)?))
        })
    }
}

/// Reserved bits make the packet malformed; a QoS or retain handling of 3 is a protocol error (3.8.3.1).
#[cold]
fn bad_options(version: Version, byte: u8) -> DecodeError {
    let reserved = match version {
        Version::V5 => 0b1100_0000,
        Version::V3_1 | Version::V3_1_1 => 0b1111_1100,
    };
    let (rule, statement, reason) = if byte & reserved != 0 {
        ("its reserved bits must be 0", "MQTT-3.8.3-5", ReasonCode::MalformedPacket)
    } else {
        ("its QoS and retain handling must be 0 to 2", "3.8.3.1", ReasonCode::ProtocolError)
    };
    DecodeError::Value {
        field: "subscription options",
        value: byte.into(),
        rule,
        statement,
        reason,
    }
}

/// A topic filter of SUBSCRIBE or UNSUBSCRIBE.
pub(super) fn read_filter<'a>(reader: &mut Reader<'a>) -> Result<TopicFilter<'a>, DecodeError> {
    use crate::error::TopicError;
    TopicFilter::new(reader.utf8("topic filter")?).map_err(|error| match error {
        TopicError::NulCharacter => DecodeError::NulCharacter { field: "topic filter" },
        error => DecodeError::Filter { error },
    })
}

impl fmt::Debug for SubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Filters and options to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscribeFiltersBuf(Vec<u8>);

impl SubscribeFiltersBuf {
    /// Adds a filter at the end.
    ///
    /// # Errors
    /// [`EncodeError::NoLocalOnShared`] when the options ask for what a shared subscription cannot have.
    pub fn push(
        &mut self,
        filter: TopicFilter<'_>,
        options: SubscribeOptions,
    ) -> Result<(), EncodeError> {
        if options.no_local && filter.share_group().is_some() {
            return Err(EncodeError::NoLocalOnShared);
        }
        self.0.topic(filter.as_str());
        self.0.put(&[options.as_u8()]);
        Ok(())
    }

    /// The borrowed form.
    pub fn as_ref(&self) -> SubscribeFilters<'_> {
        SubscribeFilters { entries: &self.0 }
    }
}

impl Body for Subscribe<'_> {
    fn first_byte(&self) -> u8 {
        KIND.first_byte()
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if version.is_v5() {
            write_section(self, sink)?;
            sink.put(self.filters.entries);
            return Ok(());
        }
        for (filter, options) in self.filters.iter() {
            sink.topic(filter.as_str());
            sink.put(&[options.qos.as_u8()]);
        }
        Ok(())
    }
}

impl PropertyList for Subscribe<'_> {
    fn write_list<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        if let Some(id) = self.subscription_id {
            sink.put(&[PropertyId::SubscriptionIdentifier as u8]);
            sink.varint(id);
        }
        self.user.write(sink);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_the_wire_and_reserved_bits_do_not() {
        let good = (0..=u8::MAX).filter_map(|byte| Some((byte, SubscribeOptions::from_u8(byte)?)));
        let good = good.collect::<Vec<_>>();
        assert_eq!(good.len(), 3 * 2 * 2 * 3);
        assert!(good.iter().all(|(byte, options)| options.as_u8() == *byte));
        let no_local = [0, 1, 0, 1, b'a', 0b0100];
        assert!(Subscribe::decode(Version::V3_1_1, &no_local).is_err());
    }

    #[test]
    fn numbers_without_a_meaning_are_protocol_errors_and_reserved_bits_are_malformed() {
        let code = |options| {
            let body = [0, 1, 0, 0, 1, b'a', options];
            Subscribe::decode(Version::V5, &body).unwrap_err().reason_code()
        };
        assert_eq!(code(0b0000_0011), ReasonCode::ProtocolError, "QoS 3");
        assert_eq!(code(0b0011_0000), ReasonCode::ProtocolError, "retain handling 3");
        assert_eq!(code(0b0100_0000), ReasonCode::MalformedPacket);
        assert_eq!(code(0b1000_0011), ReasonCode::MalformedPacket);
    }

    #[test]
    fn mqtt_3_8_3_2_and_4_an_empty_list_and_a_local_share_are_refused() {
        let error = Subscribe::decode(Version::V5, &[0, 1, 0]).unwrap_err();
        assert_eq!(error, DecodeError::EmptyList { kind: KIND });
        let mut wire = vec![0, 1, 0, 0, 10];
        wire.extend_from_slice(b"$share/g/a");
        wire.push(0b0100);
        assert_eq!(Subscribe::decode(Version::V5, &wire), Err(DecodeError::NoLocalOnShared));
    }
}
