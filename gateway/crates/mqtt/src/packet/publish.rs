use std::num::NonZeroU16;

use super::PacketKind;
use crate::error::{DecodeError, EncodeError, TopicError};
use crate::ident::{PacketId, QoS, Version};
use crate::properties::{
    MessageProperties, PropertyId, PropertyList, PropertySink, Section, SubscriptionIds,
    out_of_range, write_section,
};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::sink::{self, Body, Sink};
use crate::topic::TopicName;

/// PUBLISH (3.3): a message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// It may have been sent before (3.3.1.1).
    pub dup: bool,
    /// How often it is to be delivered.
    pub qos: QoS,
    /// To a server: keep it for later subscribers. To a client: it was kept (3.3.1.3).
    pub retain: bool,
    /// Where it is published; `None` only when `topic_alias` stands for it.
    pub topic: Option<TopicName<'a>>,
    /// Names the exchange; present above QoS 0 and only there (MQTT-2.2.1-2).
    pub packet_id: Option<PacketId>,
    /// Stands for the topic (3.3.2.3.4).
    pub topic_alias: Option<NonZeroU16>,
    /// Seconds for which it is of interest (3.3.2.3.3).
    pub message_expiry: Option<u32>,
    /// The subscriptions that it is for; only from a server (3.3.2.3.8).
    pub subscription_ids: SubscriptionIds<'a>,
    /// What is forwarded unaltered.
    pub properties: MessageProperties<'a>,
    /// The application's bytes.
    pub payload: &'a [u8],
}

const KIND: PacketKind = PacketKind::Publish;

impl<'a> Publish<'a> {
    /// A message of QoS 0 without anything that is optional.
    pub fn new(topic: TopicName<'a>, payload: &'a [u8]) -> Self {
        Self {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: Some(topic),
            packet_id: None,
            topic_alias: None,
            message_expiry: None,
            subscription_ids: SubscriptionIds::default(),
            properties: MessageProperties::default(),
            payload,
        }
    }

    /// Appends it to `out`.
    ///
    /// # Errors
    /// As [`Packet::encode`](super::Packet::encode).
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check(version)?;
        sink::encode(self, version, out)
    }

    /// Bytes that [`encode`](Self::encode) appends.
    ///
    /// # Errors
    /// As [`Packet::encode`](super::Packet::encode).
    pub fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        self.check(version)?;
        sink::encoded_len(self, version)
    }

    /// Whether the fields agree with each other.
    pub(crate) fn check(&self, version: Version) -> Result<(), EncodeError> {
        let confirmed = self.qos != QoS::AtMostOnce;
        if self.packet_id.is_some() != confirmed || self.dup && !confirmed {
            return Err(EncodeError::PublishIdentity);
        }
        if self.topic.is_none() && (self.topic_alias.is_none() || !version.is_v5()) {
            return Err(EncodeError::TopicMissing);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn decode(version: Version, flags: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let (dup, qos, retain) = read_flags(flags)?;
        let name = reader.utf8("topic name")?;
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_id(KIND)?),
        };
        let mut publish = Self {
            dup,
            qos,
            retain,
            topic: None,
            packet_id,
            topic_alias: None,
            message_expiry: None,
            subscription_ids: SubscriptionIds::default(),
            properties: MessageProperties::default(),
            payload: &[],
        };
        if version.is_v5() {
            publish.read_properties(&mut reader)?;
        }
        publish.payload = reader.rest();
        publish.topic = match TopicName::new(name) {
            Ok(topic) => Some(topic),
            Err(TopicError::Empty) if publish.topic_alias.is_some() => None,
            Err(TopicError::Empty) if version.is_v5() => {
                return Err(DecodeError::TopicMissing);
            }
            Err(TopicError::NulCharacter) => {
                return Err(DecodeError::NulCharacter { field: "topic name" });
            }
            Err(error) => return Err(DecodeError::Topic { field: "topic name", error }),
        };
        Ok(publish)
    }

    /// Writes the property section. Most messages have no property, so that is looked at first.
    #[inline]
    pub(crate) fn write_properties<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        let none = self.message_expiry.is_none()
            && self.topic_alias.is_none()
            && self.subscription_ids.has_no_bytes()
            && self.properties.has_no_bytes();
        match none {
            true => sink.put(&[0]),
            false => write_section(self, sink)?,
        }
        Ok(())
    }

    #[inline]
    fn read_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut section = Section::read(reader, KIND)?;
        if section.whole().is_empty() {
            return Ok(());
        }
        let mut whole = true;
        while let Some(id) = section.next()? {
            match id {
                PropertyId::MessageExpiryInterval => self.message_expiry = Some(section.u32(id)?),
                PropertyId::TopicAlias => {
                    let alias = NonZeroU16::new(section.u16(id)?);
                    self.topic_alias = Some(alias.ok_or(ALIAS_ZERO)?);
                }
                PropertyId::SubscriptionIdentifier => {
                    if section.varint(id)? == 0 {
                        return Err(out_of_range(id, 0, "it must be 1 to 268435455"));
                    }
                    self.subscription_ids = SubscriptionIds::of(section.whole());
                }
                id => match crate::properties::check_message_property(&mut section, id)? {
                    true => continue,
                    false => return Err(section.not_allowed(id)),
                },
            }
            whole = false;
        }
        self.properties = MessageProperties::of(section.whole(), whole);
        Ok(())
    }
}

const ALIAS_ZERO: DecodeError = DecodeError::Value {
    field: "topic alias",
    value: 0,
    rule: "it must be 1 to 65535",
    statement: "MQTT-3.3.2-8",
    reason: ReasonCode::TopicAliasInvalid,
};

fn read_flags(flags: u8) -> Result<(bool, QoS, bool), DecodeError> {
    let malformed = |field, value: u8, rule, statement| DecodeError::Value {
        field,
        value: value.into(),
        rule,
        statement,
        reason: ReasonCode::MalformedPacket,
    };
    let dup = flags & 0b1000 != 0;
    let level = flags >> 1 & 0b11;
    let qos = QoS::from_u8(level).ok_or_else(|| {
        malformed("QoS of PUBLISH", level, "it must be 0, 1 or 2", "MQTT-3.3.1-4")
    })?;
    if dup && qos == QoS::AtMostOnce {
        return Err(malformed("DUP of PUBLISH", 1, "it must be 0 at QoS 0", "MQTT-3.3.1-2"));
    }
    Ok((dup, qos, flags & 1 != 0))
}

impl Body for Publish<'_> {
    fn first_byte(&self) -> u8 {
        KIND.first_byte() | u8::from(self.dup) << 3 | self.qos.as_u8() << 1 | u8::from(self.retain)
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        sink.topic(self.topic.map_or("", TopicName::as_str));
        if let Some(packet_id) = self.packet_id {
            sink.u16(packet_id.get());
        }
        if version.is_v5() {
            self.write_properties(sink)?;
        }
        sink.put(self.payload);
        Ok(())
    }
}

impl PropertyList for Publish<'_> {
    fn write_list<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        sink.u32_property(PropertyId::MessageExpiryInterval, self.message_expiry);
        sink.u16_property(PropertyId::TopicAlias, self.topic_alias.map(NonZeroU16::get));
        self.subscription_ids.write(sink);
        self.properties.write(sink);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_3_1_1_section_3_3_2_3() {
        let body = [0, 3, b'a', b'/', b'b', 0, 10];
        let publish = Publish::decode(Version::V3_1_1, 0b0010, &body).unwrap();
        assert_eq!(publish.topic.map(TopicName::as_str), Some("a/b"));
        assert_eq!(publish.packet_id, PacketId::new(10));
        let mut out = Vec::new();
        publish.encode(Version::V3_1_1, &mut out).unwrap();
        assert_eq!(out, [&[0x32, 7][..], &body].concat());
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        let body = [0, 1, b'a', 0, 10];
        for (flags, statement) in [(0b0110, "MQTT-3.3.1-4"), (0b1000, "MQTT-3.3.1-2")] {
            let error = Publish::decode(Version::V3_1_1, flags, &body).unwrap_err();
            assert_eq!(error.statement(), statement);
        }
        let zero = Publish::decode(Version::V3_1_1, 0b0010, &[0, 1, b'a', 0, 0]).unwrap_err();
        assert_eq!(zero, DecodeError::PacketIdZero { kind: KIND });
    }

    #[test]
    fn an_alias_may_stand_for_the_topic_in_mqtt_5_only() {
        let body = [0, 0, 3, 0x23, 0, 5, b'x'];
        let publish = Publish::decode(Version::V5, 0, &body).unwrap();
        assert_eq!((publish.topic, publish.topic_alias), (None, NonZeroU16::new(5)));
        assert_eq!(publish.payload, b"x");
        assert_eq!(Publish::decode(Version::V5, 0, &[0, 0, 0]), Err(DecodeError::TopicMissing));
        let error = Publish::decode(Version::V5, 0, &[0, 0, 3, 0x23, 0, 0]).unwrap_err();
        assert_eq!(error.reason_code(), ReasonCode::TopicAliasInvalid);
        assert!(Publish::decode(Version::V3_1_1, 0, &[0, 0]).is_err());
    }
}
