use super::PacketKind;
use crate::error::{DecodeError, EncodeError};
use crate::ident::Version;
use crate::properties::{
    PropertyId, PropertyList, PropertySink, Section, UserProperties, write_section,
};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::sink::{self, Body, Sink};

/// DISCONNECT (3.14): the last packet of a conversation. In 3.1.1 only a client sends it, and it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why.
    pub code: ReasonCode,
    /// Seconds that the session outlives the connection, where the client changes its mind.
    pub session_expiry: Option<u32>,
    /// For people.
    pub reason: Option<&'a str>,
    /// Another server to use.
    pub server_reference: Option<&'a str>,
    /// Names and values.
    pub user: UserProperties<'a>,
}

impl Default for Disconnect<'_> {
    fn default() -> Self {
        Self::new(ReasonCode::NORMAL_DISCONNECTION)
    }
}

const KIND: PacketKind = PacketKind::Disconnect;

impl<'a> Disconnect<'a> {
    /// An end without text.
    pub fn new(code: ReasonCode) -> Self {
        let (session_expiry, reason, server_reference) = (None, None, None);
        Self { code, session_expiry, reason, server_reference, user: UserProperties::default() }
    }

    /// Appends it to `out`.
    ///
    /// # Errors
    /// As [`Packet::encode`](super::Packet::encode).
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !KIND.allows(self.code) {
            return Err(EncodeError::ReasonCode { kind: KIND, code: self.code });
        }
        sink::encode(self, version, out)
    }

    /// Whether a client may send it: some codes (table 3-13) and the server reference (3.14.2.2.5)
    /// are the server's alone.
    pub fn is_for_clients(&self) -> bool {
        self.server_reference.is_none() && is_for_clients(self.code)
    }

    pub(crate) fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut disconnect = Self::default();
        // Code and properties may be left out from the end (3.14.2.1, 3.14.2.2.1).
        if version.is_v5() && !reader.is_empty() {
            let value = reader.u8("reason code")?;
            disconnect.code = ReasonCode::from_u8(value)
                .filter(|code| KIND.allows(*code))
                .ok_or(DecodeError::ReasonCode { kind: KIND, value })?;
            if !reader.is_empty() {
                disconnect.read_properties(&mut reader)?;
            }
        }
        reader.finish(KIND)?;
        Ok(disconnect)
    }

    fn read_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut section = Section::read(reader, KIND)?;
        self.user = UserProperties::of(section.whole());
        while let Some(id) = section.next()? {
            match id {
                PropertyId::SessionExpiryInterval => self.session_expiry = Some(section.u32(id)?),
                PropertyId::ReasonString => self.reason = Some(section.string(id)?),
                PropertyId::ServerReference => self.server_reference = Some(section.string(id)?),
                PropertyId::UserProperty => section.skip_user_property()?,
                id => return Err(section.not_allowed(id)),
            }
        }
        Ok(())
    }

    fn has_properties(&self) -> bool {
        self.session_expiry.is_some()
            || self.reason.is_some()
            || self.server_reference.is_some()
            || !self.user.is_empty()
    }
}

/// The codes of table 3-13.
pub(super) const fn allows(code: ReasonCode) -> bool {
    use ReasonCode as Code;
    !matches!(
        code,
        Code::GrantedQos1
            | Code::GrantedQos2
            | Code::NoMatchingSubscribers
            | Code::NoSubscriptionExisted
            | Code::ContinueAuthentication
            | Code::ReAuthenticate
            | Code::UnsupportedProtocolVersion
            | Code::ClientIdentifierNotValid
            | Code::BadUserNameOrPassword
            | Code::ServerUnavailable
            | Code::Banned
            | Code::PacketIdentifierInUse
            | Code::PacketIdentifierNotFound
    )
}

/// The codes of table 3-13 that a client may send.
const fn is_for_clients(code: ReasonCode) -> bool {
    use ReasonCode as Code;
    matches!(
        code,
        Code::Success
            | Code::DisconnectWithWillMessage
            | Code::UnspecifiedError
            | Code::MalformedPacket
            | Code::ProtocolError
            | Code::ImplementationSpecificError
            | Code::TopicNameInvalid
            | Code::ReceiveMaximumExceeded
            | Code::TopicAliasInvalid
            | Code::PacketTooLarge
            | Code::MessageRateTooHigh
            | Code::QuotaExceeded
            | Code::AdministrativeAction
            | Code::PayloadFormatInvalid
    )
}

impl Body for Disconnect<'_> {
    fn first_byte(&self) -> u8 {
        KIND.first_byte()
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        let silent = !self.has_properties();
        if !version.is_v5() || silent && self.code == ReasonCode::NORMAL_DISCONNECTION {
            return Ok(());
        }
        sink.put(&[self.code.as_u8()]);
        if !silent {
            write_section(self, sink)?;
        }
        Ok(())
    }
}

impl PropertyList for Disconnect<'_> {
    fn write_list<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        sink.u32_property(PropertyId::SessionExpiryInterval, self.session_expiry);
        sink.string_property(PropertyId::ReasonString, self.reason)?;
        sink.string_property(PropertyId::ServerReference, self.server_reference)?;
        self.user.write(sink);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_a_normal_end() {
        for body in [&[][..], &[0], &[0, 0]] {
            assert_eq!(Disconnect::decode(Version::V5, body), Ok(Disconnect::default()));
        }
        assert!(Disconnect::decode(Version::V3_1_1, &[0]).is_err());
        let error = Disconnect::decode(Version::V5, &[0x86]).unwrap_err();
        assert_eq!(error.statement(), "MQTT-3.14.2-1");
    }

    #[test]
    fn mqtt_3_14_2_1_some_codes_are_the_servers_alone() {
        let codes = ReasonCode::ALL.iter().copied().filter(|code| KIND.allows(*code));
        let (client, server): (Vec<_>, Vec<_>) =
            codes.partition(|code| Disconnect::new(*code).is_for_clients());
        // Table 3-13, and 0x8C, which only table 2-6 gives to DISCONNECT.
        assert_eq!((client.len(), server.len()), (14, 15 + 1), "{client:?} {server:?}");
        assert!(server.contains(&ReasonCode::SessionTakenOver), "{server:?}");
        let moved = Disconnect { server_reference: Some("other"), ..Disconnect::default() };
        assert!(!moved.is_for_clients());
    }
}
