use super::PacketKind;
use crate::error::{DecodeError, EncodeError};
use crate::ident::Version;
use crate::properties::{
    PropertyId, PropertyList, PropertySink, Section, UserProperties, write_section,
};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::sink::{self, Body, Sink};

/// AUTH (3.15): a step of enhanced authentication, in MQTT 5 only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Which step.
    pub code: ReasonCode,
    /// The method that CONNECT named; left out only with success.
    pub method: Option<&'a str>,
    /// What the method says.
    pub data: Option<&'a [u8]>,
    /// For people.
    pub reason: Option<&'a str>,
    /// Names and values.
    pub user: UserProperties<'a>,
}

const KIND: PacketKind = PacketKind::Auth;

impl<'a> Auth<'a> {
    /// A step with this code and method.
    pub fn new(code: ReasonCode, method: Option<&'a str>) -> Self {
        Self { code, method, data: None, reason: None, user: UserProperties::default() }
    }

    /// Appends it to `out`.
    ///
    /// # Errors
    /// As [`Packet::encode`](super::Packet::encode).
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return Err(EncodeError::NotInVersion { kind: KIND });
        }
        if !KIND.allows(self.code) {
            return Err(EncodeError::ReasonCode { kind: KIND, code: self.code });
        }
        if self.method.is_none() && !self.is_bare() {
            return Err(EncodeError::AuthenticationMethodMissing { kind: KIND });
        }
        sink::encode(self, version, out)
    }

    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut auth = Self::new(ReasonCode::Success, None);
        // Success without properties may be left out whole (3.15.2.1).
        if reader.is_empty() {
            return Ok(auth);
        }
        let value = reader.u8("reason code")?;
        auth.code = ReasonCode::from_u8(value)
            .filter(|code| KIND.allows(*code))
            .ok_or(DecodeError::ReasonCode { kind: KIND, value })?;
        let mut section = Section::read(&mut reader, KIND)?;
        auth.user = UserProperties::of(section.whole());
        while let Some(id) = section.next()? {
            match id {
                PropertyId::AuthenticationMethod => auth.method = Some(section.string(id)?),
                PropertyId::AuthenticationData => auth.data = Some(section.binary(id)?),
                PropertyId::ReasonString => auth.reason = Some(section.string(id)?),
                PropertyId::UserProperty => section.skip_user_property()?,
                id => return Err(section.not_allowed(id)),
            }
        }
        reader.finish(KIND)?;
        if auth.method.is_none() && !auth.is_bare() {
            return Err(DecodeError::AuthenticationMethodMissing { kind: KIND });
        }
        Ok(auth)
    }

    /// Whether it says success and nothing else.
    fn is_bare(&self) -> bool {
        *self == Self::new(ReasonCode::Success, None)
    }
}

impl Body for Auth<'_> {
    fn first_byte(&self) -> u8 {
        KIND.first_byte()
    }

    fn write<S: Sink>(&self, _: Version, sink: &mut S) -> Result<(), EncodeError> {
        if self.is_bare() {
            return Ok(());
        }
        sink.put(&[self.code.as_u8()]);
        write_section(self, sink)
    }
}

impl PropertyList for Auth<'_> {
    fn write_list<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        sink.string_property(PropertyId::AuthenticationMethod, self.method)?;
        sink.binary_property(PropertyId::AuthenticationData, self.data)?;
        sink.string_property(PropertyId::ReasonString, self.reason)?;
        self.user.write(sink);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_needs_its_method() {
        assert_eq!(Auth::decode(&[]), Ok(Auth::new(ReasonCode::Success, None)));
        let error = Auth::decode(&[0x18, 0]).unwrap_err();
        assert_eq!(error, DecodeError::AuthenticationMethodMissing { kind: KIND });
    }
}
