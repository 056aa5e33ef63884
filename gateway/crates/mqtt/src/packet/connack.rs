use super::PacketKind;
use crate::error::{DecodeError, EncodeError};
use crate::ident::{QoS, Version};
use crate::properties::{
    PropertyId, PropertyList, PropertySink, Section, UserProperties, out_of_range, write_section,
};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::sink::{self, Body, Sink};

/// CONNACK (3.2): the server answers CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Whether an earlier session goes on (3.2.2.1.1).
    pub session_present: bool,
    /// Whether the client is accepted; 3.1.1 has six codes, see [`ReasonCode::connack_v3`].
    pub code: ReasonCode,
    /// What MQTT 5 adds.
    pub properties: ConnAckProperties<'a>,
}

/// The properties of CONNACK (3.2.2.3). What is `None` is as the specification's default says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnAckProperties<'a> {
    /// Seconds that the session outlives the connection, where that is not what the client asked.
    pub session_expiry: Option<u32>,
    /// Publishes above QoS 0 that the server handles at a time; not 0.
    pub receive_maximum: Option<u16>,
    /// The highest QoS that the server accepts: 0 or 1, where it is not 2.
    pub maximum_qos: Option<QoS>,
    /// Whether the server retains messages.
    pub retain_available: Option<bool>,
    /// Bytes of the largest packet that the server accepts; not 0.
    pub maximum_packet_size: Option<u32>,
    /// The name of the session, where the client left it to the server.
    pub assigned_client_id: Option<&'a str>,
    /// Aliases that the client may use.
    pub topic_alias_maximum: Option<u16>,
    /// For people.
    pub reason: Option<&'a str>,
    /// Names and values.
    pub user: UserProperties<'a>,
    /// Whether the server takes filters with wildcards.
    pub wildcard_available: Option<bool>,
    /// Whether the server takes subscription identifiers.
    pub subscription_ids_available: Option<bool>,
    /// Whether the server takes shared subscriptions.
    pub shared_available: Option<bool>,
    /// Seconds of keep alive, where the server sets its own.
    pub server_keep_alive: Option<u16>,
    /// Where responses may go.
    pub response_information: Option<&'a str>,
    /// Another server to use.
    pub server_reference: Option<&'a str>,
    /// Method of enhanced authentication.
    pub authentication_method: Option<&'a str>,
    /// Its data.
    pub authentication_data: Option<&'a [u8]>,
}

const KIND: PacketKind = PacketKind::ConnAck;

impl<'a> ConnAck<'a> {
    /// Appends it to `out`.
    ///
    /// # Errors
    /// As [`Packet::encode`](super::Packet::encode).
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !KIND.allows(self.code) {
            return Err(EncodeError::ReasonCode { kind: KIND, code: self.code });
        }
        if self.session_present && self.code.is_error() {
            return Err(EncodeError::SessionPresentOnRefusal);
        }
        let value = |field, value, rule| Err(EncodeError::Value { field, value, rule });
        if self.properties.receive_maximum == Some(0) {
            return value("receive maximum", 0, "it must not be 0");
        }
        if self.properties.maximum_packet_size == Some(0) {
            return value("maximum packet size", 0, "it must not be 0");
        }
        if self.properties.maximum_qos == Some(QoS::ExactlyOnce) {
            return value("maximum QoS", 2, "it is left out where it is 2");
        }
        sink::encode(self, version, out)
    }

    pub(crate) fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let session_present = match (version, reader.u8("acknowledge flags")?) {
            // MQTT 3.1 has no such flag: there the byte is reserved and not used.
            (Version::V3_1, _) | (_, 0) => false,
            (_, 1) => true,
            (_, flags) => {
                return Err(DecodeError::Value {
                    field: "acknowledge flags",
                    value: flags.into(),
                    rule: "it must be 0 or 1",
                    statement: "MQTT-3.2.2-1",
                    reason: ReasonCode::MalformedPacket,
                });
            }
        };
        let value = reader.u8("reason code")?;
        let code = match version {
            Version::V5 => ReasonCode::from_u8(value).filter(|code| KIND.allows(*code)),
            Version::V3_1 | Version::V3_1_1 => ReasonCode::from_connack_v3(value),
        };
        let code = code.ok_or(DecodeError::ReasonCode { kind: KIND, value })?;
        let properties = match version {
            Version::V5 => ConnAckProperties::decode(&mut reader)?,
            Version::V3_1 | Version::V3_1_1 => ConnAckProperties::default(),
        };
        reader.finish(KIND)?;
        if session_present && code.is_error() {
            return Err(DecodeError::SessionPresentOnRefusal);
        }
        Ok(Self { session_present, code, properties })
    }
}

/// The codes of table 3-1.
pub(super) const fn allows(code: ReasonCode) -> bool {
    use ReasonCode as Code;
    matches!(
        code,
        Code::Success
            | Code::UnspecifiedError
            | Code::MalformedPacket
            | Code::ProtocolError
            | Code::ImplementationSpecificError
            | Code::UnsupportedProtocolVersion
            | Code::ClientIdentifierNotValid
            | Code::BadUserNameOrPassword
            | Code::NotAuthorized
            | Code::ServerUnavailable
            | Code::ServerBusy
            | Code::Banned
            | Code::BadAuthenticationMethod
            | Code::TopicNameInvalid
            | Code::PacketTooLarge
            | Code::QuotaExceeded
            | Code::PayloadFormatInvalid
            | Code::RetainNotSupported
            | Code::QosNotSupported
            | Code::UseAnotherServer
            | Code::ServerMoved
            | Code::ConnectionRateExceeded
    )
}

impl<'a> ConnAckProperties<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut section = Section::read(reader, KIND)?;
        let mut found = Self { user: UserProperties::of(section.whole()), ..Self::default() };
        while let Some(id) = section.next()? {
            found.read(&mut section, id)?;
        }
        Ok(found)
    }

    fn read(&mut self, section: &mut Section<'a>, id: PropertyId) -> Result<(), DecodeError> {
        match id {
            PropertyId::SessionExpiryInterval => self.session_expiry = Some(section.u32(id)?),
            PropertyId::ReceiveMaximum => self.receive_maximum = Some(section.non_zero_u16(id)?),
            PropertyId::MaximumQos => {
                let qos = if section.flag(id)? { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                self.maximum_qos = Some(qos);
            }
            PropertyId::RetainAvailable => self.retain_available = Some(section.flag(id)?),
            PropertyId::MaximumPacketSize => match section.u32(id)? {
                0 => return Err(out_of_range(id, 0, "it must not be 0")),
                size => self.maximum_packet_size = Some(size),
            },
            PropertyId::AssignedClientIdentifier => {
                self.assigned_client_id = Some(section.string(id)?);
            }
            PropertyId::TopicAliasMaximum => self.topic_alias_maximum = Some(section.u16(id)?),
            PropertyId::ReasonString => self.reason = Some(section.string(id)?),
            PropertyId::UserProperty => section.skip_user_property()?,
            PropertyId::WildcardSubscriptionAvailable => {
                self.wildcard_available = Some(section.flag(id)?);
            }
            PropertyId::SubscriptionIdentifierAvailable => {
                self.subscription_ids_available = Some(section.flag(id)?);
            }
            PropertyId::SharedSubscriptionAvailable => {
                self.shared_available = Some(section.flag(id)?);
            }
            PropertyId::ServerKeepAlive => self.server_keep_alive = Some(section.u16(id)?),
            PropertyId::ResponseInformation => {
                self.response_information = Some(section.string(id)?);
            }
            PropertyId::ServerReference => self.server_reference = Some(section.string(id)?),
            PropertyId::AuthenticationMethod => {
                self.authentication_method = Some(section.string(id)?);
            }
            PropertyId::AuthenticationData => self.authentication_data = Some(section.binary(id)?),
            id => return Err(section.not_allowed(id)),
        }
        Ok(())
    }
}

impl Body for ConnAck<'_> {
    fn first_byte(&self) -> u8 {
        KIND.first_byte()
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        let code = match version {
            Version::V5 => self.code.as_u8(),
            Version::V3_1 | Version::V3_1_1 => self.code.connack_v3(),
        };
        // In 3.1 the first byte is reserved (MQTT 3.1, 3.2).
        let session_present = self.session_present && version != Version::V3_1;
        sink.put(&[u8::from(session_present), code]);
        if version.is_v5() {
            write_section(&self.properties, sink)?;
        }
        Ok(())
    }
}

impl PropertyList for ConnAckProperties<'_> {
    fn write_list<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        sink.u32_property(PropertyId::SessionExpiryInterval, self.session_expiry);
        sink.u16_property(PropertyId::ReceiveMaximum, self.receive_maximum);
        sink.byte_property(PropertyId::MaximumQos, self.maximum_qos.map(QoS::as_u8));
        sink.flag_property(PropertyId::RetainAvailable, self.retain_available);
        sink.u32_property(PropertyId::MaximumPacketSize, self.maximum_packet_size);
        sink.string_property(PropertyId::AssignedClientIdentifier, self.assigned_client_id)?;
        sink.u16_property(PropertyId::TopicAliasMaximum, self.topic_alias_maximum);
        sink.string_property(PropertyId::ReasonString, self.reason)?;
        self.user.write(sink);
        sink.flag_property(PropertyId::WildcardSubscriptionAvailable, self.wildcard_available);
        let ids = self.subscription_ids_available;
        sink.flag_property(PropertyId::SubscriptionIdentifierAvailable, ids);
        sink.flag_property(PropertyId::SharedSubscriptionAvailable, self.shared_available);
        sink.u16_property(PropertyId::ServerKeepAlive, self.server_keep_alive);
        sink.string_property(PropertyId::ResponseInformation, self.response_information)?;
        sink.string_property(PropertyId::ServerReference, self.server_reference)?;
        sink.string_property(PropertyId::AuthenticationMethod, self.authentication_method)?;
        sink.binary_property(PropertyId::AuthenticationData, self.authentication_data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_translated_for_3_1_1() {
        let properties = ConnAckProperties::default();
        let code = ReasonCode::BadUserNameOrPassword;
        let refusal = ConnAck { session_present: false, code, properties };
        let mut out = Vec::new();
        refusal.encode(Version::V3_1_1, &mut out).unwrap();
        refusal.encode(Version::V5, &mut out).unwrap();
        assert_eq!(out, [0x20, 2, 0, 4, 0x20, 3, 0, 0x86, 0]);
    }

    #[test]
    fn mqtt_3_2_2_6_a_refusal_has_no_session() {
        let error = ConnAck::decode(Version::V3_1_1, &[1, 5]).unwrap_err();
        assert_eq!(error, DecodeError::SessionPresentOnRefusal);
    }

    #[test]
    fn mqtt_3_1_does_not_tell_of_a_session() {
        let properties = ConnAckProperties::default();
        let resumed = ConnAck { session_present: true, code: ReasonCode::Success, properties };
        let mut out = Vec::new();
        for (version, expected) in [(Version::V3_1, 0), (Version::V3_1_1, 1)] {
            out.clear();
            resumed.encode(version, &mut out).unwrap();
            assert_eq!(out, [0x20, 2, expected, 0], "{version}");
        }
    }
}
