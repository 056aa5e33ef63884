use super::PacketKind;
use crate::error::{DecodeError, EncodeError, TopicError};
use crate::ident::{QoS, Version};
use crate::properties::{
    MessageProperties, PropertyId, PropertyList, PropertySink, Section, UserProperties,
    out_of_range, write_section,
};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::sink::{self, Body, Sink};
use crate::topic::TopicName;

/// CONNECT (3.1): a client asks for a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version that client and server will speak.
    pub version: Version,
    /// Names the session; empty asks the server for a name.
    pub client_id: &'a str,
    /// Begin a new session: Clean Start (3.1.2.4), Clean Session in 3.1.1.
    pub clean_start: bool,
    /// Seconds that may pass between two packets of the client; 0 is any time (3.1.2.10).
    pub keep_alive: u16,
    /// Who the client claims to be.
    pub username: Option<&'a str>,
    /// What it offers as proof.
    pub password: Option<&'a [u8]>,
    /// The message to send when the client vanishes.
    pub will: Option<Will<'a>>,
    /// What MQTT 5 adds.
    pub properties: ConnectProperties<'a>,
}

/// The will (3.1.2.5): a message that the server publishes when the client is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where.
    pub topic: TopicName<'a>,
    /// The application's bytes.
    pub payload: &'a [u8],
    /// How often it is to be delivered.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Seconds to wait for the client to come back (3.1.3.2.2).
    pub delay: u32,
    /// Seconds for which the message is of interest once it is published (3.1.3.2.4).
    pub message_expiry: Option<u32>,
    /// What is forwarded unaltered.
    pub properties: MessageProperties<'a>,
}

/// The properties of CONNECT (3.1.2.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectProperties<'a> {
    /// Seconds that the session outlives the connection; 4294967295 is for ever.
    pub session_expiry: Option<u32>,
    /// Publishes above QoS 0 that the client handles at a time; not 0.
    pub receive_maximum: Option<u16>,
    /// Bytes of the largest packet that the client accepts; not 0.
    pub maximum_packet_size: Option<u32>,
    /// Aliases that the server may use.
    pub topic_alias_maximum: Option<u16>,
    /// Whether the client wants response information in CONNACK.
    pub request_response_information: bool,
    /// Whether reason strings and user properties may be sent with any packet; `true` unless said otherwise.
    pub request_problem_information: bool,
    /// Method of enhanced authentication.
    pub authentication_method: Option<&'a str>,
    /// Its data; only with a method.
    pub authentication_data: Option<&'a [u8]>,
    /// Names and values for the application.
    pub user: UserProperties<'a>,
}

impl Default for ConnectProperties<'_> {
    fn default() -> Self {
        Self {
            session_expiry: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: None,
            request_response_information: false,
            request_problem_information: true,
            authentication_method: None,
            authentication_data: None,
            user: UserProperties::default(),
        }
    }
}

const KIND: PacketKind = PacketKind::Connect;

/// Characters of a client identifier in MQTT 3.1 at most (MQTT 3.1, 3.1).
const V3_1_CLIENT_ID_MAX: usize = 23;

/// What a CONNECT says about the rest of it (3.1.2.3).
#[derive(Clone, Copy)]
struct Flags(u8);

impl Flags {
    const CLEAN_START: u8 = 0x02;
    const WILL: u8 = 0x04;
    const WILL_RETAIN: u8 = 0x20;
    const PASSWORD: u8 = 0x40;
    const USERNAME: u8 = 0x80;

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    fn check(self, version: Version) -> Result<(), DecodeError> {
        let bad = |field, value: u8, rule, statement| {
            let reason = ReasonCode::MalformedPacket;
            Err(DecodeError::Value { field, value: value.into(), rule, statement, reason })
        };
        let will_qos = self.0 >> 3 & 0b11;
        if self.has(1) {
            return bad("reserved flag of CONNECT", 1, "it must be 0", "MQTT-3.1.2-3");
        }
        if !self.has(Self::WILL) && will_qos != 0 {
            return bad("will QoS", will_qos, "it must be 0 without a will", "MQTT-3.1.2-11");
        }
        if will_qos > 2 {
            return bad("will QoS", will_qos, "it must be 0, 1 or 2", "MQTT-3.1.2-12");
        }
        if !self.has(Self::WILL) && self.has(Self::WILL_RETAIN) {
            return bad("will retain flag", 1, "it must be 0 without a will", "MQTT-3.1.2-13");
        }
        if !version.is_v5() && self.has(Self::PASSWORD) && !self.has(Self::USERNAME) {
            return Err(DecodeError::PasswordWithoutUserName);
        }
        Ok(())
    }

    fn will_qos(self) -> QoS {
        QoS::from_u8(self.0 >> 3 & 0b11).unwrap_or(QoS::AtMostOnce)
    }
}

impl<'a> Connect<'a> {
    /// Appends it to `out`, in its own version.
    ///
    /// # Errors
    /// As [`Packet::encode`](super::Packet::encode).
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let properties = &self.properties;
        if !self.version.is_v5() && self.password.is_some() && self.username.is_none() {
            return Err(EncodeError::PasswordWithoutUserName);
        }
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return Err(EncodeError::AuthenticationMethodMissing { kind: KIND });
        }
        let zero = |field| EncodeError::Value { field, value: 0, rule: "it must not be 0" };
        if properties.receive_maximum == Some(0) {
            return Err(zero("receive maximum"));
        }
        if properties.maximum_packet_size == Some(0) {
            return Err(zero("maximum packet size"));
        }
        sink::encode(self, self.version, out)
    }

    /// What is wrong with the client identifier in this version, whatever a server makes of it:
    /// the rule that it breaks.
    pub fn client_id_fault(&self) -> Option<&'static str> {
        let characters = self.client_id.chars().take(V3_1_CLIENT_ID_MAX + 1).count();
        match (self.version, characters) {
            (Version::V3_1, 1..=V3_1_CLIENT_ID_MAX) => None,
            (Version::V3_1, _) => Some("it must have 1 to 23 characters (MQTT 3.1, 3.1)"),
            (Version::V3_1_1, 0) if !self.clean_start => {
                Some("it may be empty only where Clean Session is 1 (3.1.1, MQTT-3.1.3-8)")
            }
            (Version::V3_1_1 | Version::V5, _) => None,
        }
    }

    pub(crate) fn decode(body: &'a [u8], allows_v3_1: bool) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let name = reader.binary("protocol name")?;
        let known = [Version::V3_1, Version::V3_1_1, Version::V5];
        if !known.iter().any(|version| name == version.protocol_name().as_bytes()) {
            return Err(DecodeError::ProtocolName);
        }
        let level = reader.u8("protocol level")?;
        let version = Version::from_level(level)
            .filter(|version| name == version.protocol_name().as_bytes())
            .filter(|version| allows_v3_1 || *version != Version::V3_1)
            .ok_or(DecodeError::ProtocolLevel { level })?;
        let flags = Flags(reader.u8("connect flags")?);
        flags.check(version)?;
        let keep_alive = reader.u16("keep alive")?;
        let properties = match version {
            Version::V5 => ConnectProperties::decode(&mut reader)?,
            Version::V3_1 | Version::V3_1_1 => ConnectProperties::default(),
        };
        let client_id = reader.string("client identifier")?;
        let will = flags.has(Flags::WILL).then(|| Will::decode(&mut reader, flags, version));
        let will = will.transpose()?;
        // In 3.1 a name and a password that the flags announce may be missing (MQTT 3.1, 3.1).
        let there = |reader: &Reader<'_>| version != Version::V3_1 || !reader.is_empty();
        let username = flags.has(Flags::USERNAME) && there(&reader);
        let username = username.then(|| reader.string("user name"));
        let username = username.transpose()?;
        let password = flags.has(Flags::PASSWORD) && there(&reader);
        let password = password.then(|| reader.binary("password"));
        let password = password.transpose()?;
        reader.finish(KIND)?;
        let clean_start = flags.has(Flags::CLEAN_START);
        Ok(Self {
            version,
            client_id,
            clean_start,
            keep_alive,
            username,
            password,
            will,
            properties,
        })
    }

    fn flags(&self) -> u8 {
        let bit = |present: bool, bit: u8| if present { bit } else { 0 };
        let will = self.will.as_ref().map_or(0, |will| {
            Flags::WILL | will.qos.as_u8() << 3 | bit(will.retain, Flags::WILL_RETAIN)
        });
        bit(self.clean_start, Flags::CLEAN_START)
            | will
            | bit(self.password.is_some(), Flags::PASSWORD)
            | bit(self.username.is_some(), Flags::USERNAME)
    }
}

impl<'a> ConnectProperties<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut section = Section::read(reader, KIND)?;
        let mut found = Self { user: UserProperties::of(section.whole()), ..Self::default() };
        while let Some(id) = section.next()? {
            match id {
                PropertyId::SessionExpiryInterval => found.session_expiry = Some(section.u32(id)?),
                PropertyId::ReceiveMaximum => {
                    found.receive_maximum = Some(section.non_zero_u16(id)?)
                }
                PropertyId::MaximumPacketSize => match section.u32(id)? {
                    0 => return Err(out_of_range(id, 0, "it must not be 0")),
                    size => found.maximum_packet_size = Some(size),
                },
                PropertyId::TopicAliasMaximum => found.topic_alias_maximum = Some(section.u16(id)?),
                PropertyId::RequestResponseInformation => {
                    found.request_response_information = section.flag(id)?;
                }
                PropertyId::RequestProblemInformation => {
                    found.request_problem_information = section.flag(id)?;
                }
                PropertyId::AuthenticationMethod => {
                    found.authentication_method = Some(section.string(id)?);
                }
                PropertyId::AuthenticationData => {
                    found.authentication_data = Some(section.binary(id)?);
                }
                PropertyId::UserProperty => section.skip_user_property()?,
                id => return Err(section.not_allowed(id)),
            }
        }
        if found.authentication_data.is_some() && found.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationMethodMissing { kind: KIND });
        }
        Ok(found)
    }
}

impl<'a> Will<'a> {
    fn decode(
        reader: &mut Reader<'a>,
        flags: Flags,
        version: Version,
    ) -> Result<Self, DecodeError> {
        let (mut delay, mut message_expiry) = (0, None);
        let mut properties = MessageProperties::default();
        if version.is_v5() {
            let mut section = Section::read(reader, KIND)?;
            let mut whole = true;
            while let Some(id) = section.next()? {
                match id {
                    PropertyId::WillDelayInterval => delay = section.u32(id)?,
                    PropertyId::MessageExpiryInterval => message_expiry = Some(section.u32(id)?),
                    id => match crate::properties::check_message_property(&mut section, id)? {
                        true => continue,
                        false => return Err(section.not_allowed(id)),
                    },
                }
                whole = false;
            }
            properties = MessageProperties::of(section.whole(), whole);
        }
        let topic = TopicName::new(reader.utf8("will topic")?).map_err(|error| match error {
            TopicError::NulCharacter => DecodeError::NulCharacter { field: "will topic" },
            error => DecodeError::Topic { field: "will topic", error },
        })?;
        let payload = reader.binary("will payload")?;
        let (qos, retain) = (flags.will_qos(), flags.has(Flags::WILL_RETAIN));
        Ok(Self { topic, payload, qos, retain, delay, message_expiry, properties })
    }
}

impl Body for Connect<'_> {
    fn first_byte(&self) -> u8 {
        KIND.first_byte()
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        sink.string("protocol name", version.protocol_name())?;
        sink.put(&[version.level(), self.flags()]);
        sink.u16(self.keep_alive);
        if version.is_v5() {
            write_section(&self.properties, sink)?;
        }
        sink.string("client identifier", self.client_id)?;
        if let Some(will) = &self.will {
            if version.is_v5() {
                write_section(will, sink)?;
            }
            sink.topic(will.topic.as_str());
            sink.binary("will payload", will.payload)?;
        }
        if let Some(username) = self.username {
            sink.string("user name", username)?;
        }
        if let Some(password) = self.password {
            sink.binary("password", password)?;
        }
        Ok(())
    }
}

impl PropertyList for ConnectProperties<'_> {
    fn write_list<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        sink.u32_property(PropertyId::SessionExpiryInterval, self.session_expiry);
        sink.u16_property(PropertyId::ReceiveMaximum, self.receive_maximum);
        sink.u32_property(PropertyId::MaximumPacketSize, self.maximum_packet_size);
        sink.u16_property(PropertyId::TopicAliasMaximum, self.topic_alias_maximum);
        let response = self.request_response_information.then_some(true);
        sink.flag_property(PropertyId::RequestResponseInformation, response);
        let problem = (!self.request_problem_information).then_some(false);
        sink.flag_property(PropertyId::RequestProblemInformation, problem);
        sink.string_property(PropertyId::AuthenticationMethod, self.authentication_method)?;
        sink.binary_property(PropertyId::AuthenticationData, self.authentication_data)?;
        self.user.write(sink);
        Ok(())
    }
}

impl PropertyList for Will<'_> {
    fn write_list<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        sink.u32_property(PropertyId::WillDelayInterval, (self.delay > 0).then_some(self.delay));
        sink.u32_property(PropertyId::MessageExpiryInterval, self.message_expiry);
        self.properties.write(sink);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variable header and payload of a 3.1.1 CONNECT with these flags.
    fn body(level: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
        [&[0, 4, b'M', b'Q', b'T', b'T', level, flags, 0, 10][..], rest].concat()
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for (flags, statement) in [
            (0b0000_0001, "MQTT-3.1.2-3"),
            (0b0000_1000, "MQTT-3.1.2-11"),
            (0b0001_1100, "MQTT-3.1.2-12"),
            (0b0010_0000, "MQTT-3.1.2-13"),
            (0b0100_0000, "MQTT-3.1.2-22 of 3.1.1"),
        ] {
            let error = Connect::decode(&body(4, flags, &[0, 1, b'a']), false).unwrap_err();
            assert_eq!(error.statement(), statement, "{flags:#010b}");
        }
        let alone = body(5, 0b0100_0000, &[0, 0, 1, b'a', 0, 1, b'p']);
        assert_eq!(Connect::decode(&alone, false).unwrap().password, Some(&b"p"[..]));
    }

    #[test]
    fn other_protocols_and_levels_are_told_apart_from_nonsense() {
        let error = Connect::decode(&body(3, 2, &[0, 0]), true).unwrap_err();
        assert_eq!(error, DecodeError::ProtocolLevel { level: 3 });
        assert_eq!(error.reason_code(), ReasonCode::UnsupportedProtocolVersion);
        let error = Connect::decode(&[0, 4, b'M', b'Q', b'T', b'X', 4], true).unwrap_err();
        assert_eq!(error, DecodeError::ProtocolName);
        let error = Connect::decode(&old(4, 2, b"\0\x01a"), true).unwrap_err();
        assert_eq!(error, DecodeError::ProtocolLevel { level: 4 });
    }

    /// Variable header and payload of a CONNECT with the name of MQTT 3.1.
    fn old(level: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
        [b"\0\x06MQIsdp", &[level, flags, 0, 10][..], rest].concat()
    }

    #[test]
    fn mqtt_3_1_takes_a_client_identifier_of_1_to_23_characters() {
        let mut connect = Connect {
            version: Version::V3_1,
            client_id: "",
            clean_start: true,
            keep_alive: 0,
            username: None,
            password: None,
            will: None,
            properties: ConnectProperties::default(),
        };
        let long = "é".repeat(24);
        for (client_id, accepted) in [("", false), ("a", true), (&long[..46], true), (&long, false)]
        {
            connect.client_id = client_id;
            assert_eq!(connect.client_id_fault().is_none(), accepted, "{client_id}");
            let newer = Connect { version: Version::V3_1_1, ..connect.clone() };
            assert_eq!(newer.client_id_fault(), None);
        }
    }

    #[test]
    fn mqtt_3_1_may_announce_a_user_name_that_does_not_come() {
        let missing = old(3, 0b1100_0010, b"\0\x01a");
        let connect = Connect::decode(&missing, true).unwrap();
        assert_eq!((connect.username, connect.password), (None, None));
        let missing = body(4, 0b1100_0010, &[0, 1, b'a']);
        assert!(Connect::decode(&missing, true).is_err());
    }

    #[test]
    fn what_follows_the_last_field_is_refused() {
        let error = Connect::decode(&body(4, 2, &[0, 1, b'a', 9]), false).unwrap_err();
        assert_eq!(error, DecodeError::TrailingBytes { kind: KIND, extra: 1 });
    }
}
