//! Properties (2.2.2): what MQTT 5 adds to a packet. A section is checked once, when its packet is
//! decoded; afterwards the types here are views of its bytes and copy nothing.

use std::fmt;

use crate::error::{DecodeError, EncodeError};
use crate::packet::PacketKind;
use crate::reader::Reader;
use crate::sink::{Sink, measure};

mod message;
mod subscription_ids;
mod user;

pub(crate) use message::check as check_message_property;
pub use message::{MessageProperties, MessagePropertiesBuf};
pub use subscription_ids::{SubscriptionIds, SubscriptionIdsBuf};
pub use user::{UserProperties, UserPropertiesBuf};

/// Declares the identifiers with their names and the form of their values.
macro_rules! property_ids {
    ($($name:ident = $value:literal, $words:literal, $form:ident;)+) => {
        /// Which property (2.2.2.2).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum PropertyId {
            $(#[doc = concat!($words, " (", stringify!($value), ").")] $name = $value,)+
        }

        impl PropertyId {
            /// Every property, by ascending identifier.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The property that `value` stands for, if the specification names one.
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value { $($value => Some(Self::$name),)+ _ => None }
            }

            const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)+ }
            }

            const fn form(self) -> Form {
                match self { $(Self::$name => Form::$form,)+ }
            }
        }
    };
}

property_ids! {
    PayloadFormatIndicator = 0x01, "payload format indicator", Byte;
    MessageExpiryInterval = 0x02, "message expiry interval", FourBytes;
    ContentType = 0x03, "content type", Prefixed;
    ResponseTopic = 0x08, "response topic", Prefixed;
    CorrelationData = 0x09, "correlation data", Prefixed;
    SubscriptionIdentifier = 0x0B, "subscription identifier", Varint;
    SessionExpiryInterval = 0x11, "session expiry interval", FourBytes;
    AssignedClientIdentifier = 0x12, "assigned client identifier", Prefixed;
    ServerKeepAlive = 0x13, "server keep alive", TwoBytes;
    AuthenticationMethod = 0x15, "authentication method", Prefixed;
    AuthenticationData = 0x16, "authentication data", Prefixed;
    RequestProblemInformation = 0x17, "request problem information", Byte;
    WillDelayInterval = 0x18, "will delay interval", FourBytes;
    RequestResponseInformation = 0x19, "request response information", Byte;
    ResponseInformation = 0x1A, "response information", Prefixed;
    ServerReference = 0x1C, "server reference", Prefixed;
    ReasonString = 0x1F, "reason string", Prefixed;
    ReceiveMaximum = 0x21, "receive maximum", TwoBytes;
    TopicAliasMaximum = 0x22, "topic alias maximum", TwoBytes;
    TopicAlias = 0x23, "topic alias", TwoBytes;
    MaximumQos = 0x24, "maximum QoS", Byte;
    RetainAvailable = 0x25, "retain available", Byte;
    UserProperty = 0x26, "user property", Pair;
    MaximumPacketSize = 0x27, "maximum packet size", FourBytes;
    WildcardSubscriptionAvailable = 0x28, "wildcard subscription available", Byte;
    SubscriptionIdentifierAvailable = 0x29, "subscription identifier available", Byte;
    SharedSubscriptionAvailable = 0x2A, "shared subscription available", Byte;
}

/// How the value of a property is laid out.
#[derive(Clone, Copy)]
enum Form {
    Byte,
    TwoBytes,
    FourBytes,
    Varint,
    /// A string or binary value behind its two-byte length.
    Prefixed,
    /// Two of them.
    Pair,
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Reads one property section while it is checked: the packet takes each value as the identifier comes.
pub(crate) struct Section<'a> {
    whole: &'a [u8],
    rest: Reader<'a>,
    kind: PacketKind,
    seen: u64,
}

impl<'a> Section<'a> {
    /// Takes a section, with its length, from the front of `reader`.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>, kind: PacketKind) -> Result<Self, DecodeError> {
        let len = reader.varint("property length")?;
        Ok(Self::of(reader.bytes(len as usize, "properties")?, kind))
    }

    /// A section whose length is known.
    pub(crate) fn of(whole: &'a [u8], kind: PacketKind) -> Self {
        Self { whole, rest: Reader::new(whole), kind, seen: 0 }
    }

    /// All bytes of the section.
    pub(crate) fn whole(&self) -> &'a [u8] {
        self.whole
    }

    /// The identifier of the next property, its value to be taken next. Only user properties, and
    /// subscription identifiers in PUBLISH, may come twice.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<PropertyId>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let id = self.rest.varint("property identifier")?;
        let known = u8::try_from(id).ok().and_then(PropertyId::from_u8);
        let property = known.ok_or(DecodeError::PropertyUnknown { id })?;
        let bit = 1 << (property as u8);
        let repeatable = property == PropertyId::UserProperty
            || property == PropertyId::SubscriptionIdentifier && self.kind == PacketKind::Publish;
        if self.seen & bit != 0 && !repeatable {
            return Err(DecodeError::PropertyRepeated { property });
        }
        self.seen |= bit;
        Ok(Some(property))
    }

    /// The error for a property that this packet may not have.
    pub(crate) fn not_allowed(&self, property: PropertyId) -> DecodeError {
        DecodeError::PropertyNotAllowed { property, kind: self.kind }
    }

    pub(crate) fn u16(&mut self, id: PropertyId) -> Result<u16, DecodeError> {
        self.rest.u16(id.words())
    }

    pub(crate) fn u32(&mut self, id: PropertyId) -> Result<u32, DecodeError> {
        self.rest.u32(id.words())
    }

    pub(crate) fn varint(&mut self, id: PropertyId) -> Result<u32, DecodeError> {
        self.rest.varint(id.words())
    }

    pub(crate) fn string(&mut self, id: PropertyId) -> Result<&'a str, DecodeError> {
        self.rest.string(id.words())
    }

    pub(crate) fn utf8(&mut self, id: PropertyId) -> Result<&'a str, DecodeError> {
        self.rest.utf8(id.words())
    }

    pub(crate) fn binary(&mut self, id: PropertyId) -> Result<&'a [u8], DecodeError> {
        self.rest.binary(id.words())
    }

    /// A byte that is 0 or 1.
    pub(crate) fn flag(&mut self, id: PropertyId) -> Result<bool, DecodeError> {
        match self.rest.u8(id.words())? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(out_of_range(id, value.into(), "it must be 0 or 1")),
        }
    }

    /// A two-byte integer that is not 0.
    pub(crate) fn non_zero_u16(&mut self, id: PropertyId) -> Result<u16, DecodeError> {
        match self.u16(id)? {
            0 => Err(out_of_range(id, 0, "it must be 1 to 65535")),
            value => Ok(value),
        }
    }

    /// Checks a user property and goes past it.
    pub(crate) fn skip_user_property(&mut self) -> Result<(), DecodeError> {
        self.rest.string("user property name")?;
        self.rest.string("user property value").map(|_| ())
    }
}

/// The error for a property whose value is outside its range, which the specification calls a protocol error.
pub(crate) fn out_of_range(id: PropertyId, value: u32, rule: &'static str) -> DecodeError {
    DecodeError::Value {
        field: id.words(),
        value,
        rule,
        statement: "2.2.2.2",
        reason: crate::ReasonCode::ProtocolError,
    }
}

/// The properties of a section that was checked before, each with all its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked<'a> {
    rest: &'a [u8],
}

impl<'a> Checked<'a> {
    pub(crate) fn new(section: &'a [u8]) -> Self {
        Self { rest: section }
    }
}

impl<'a> Iterator for Checked<'a> {
    /// The property, its value, and its bytes on the wire.
    type Item = (PropertyId, Reader<'a>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&id, value) = self.rest.split_first()?;
        let property = PropertyId::from_u8(id)?;
        let prefixed = |at: usize| {
            let length = value.get(at..)?.first_chunk::<2>()?;
            Some(at + 2 + usize::from(u16::from_be_bytes(*length)))
        };
        let len = match property.form() {
            Form::Byte => 1,
            Form::TwoBytes => 2,
            Form::FourBytes => 4,
            Form::Varint => crate::varint::read(value).ok()??.bytes,
            Form::Prefixed => prefixed(0)?,
            Form::Pair => prefixed(prefixed(0)?)?,
        };
        let (whole, rest) = self.rest.split_at_checked(1 + len)?;
        self.rest = rest;
        Some((property, Reader::new(whole.get(1..)?), whole))
    }
}

/// Properties that a packet writes.
pub(crate) trait PropertyList {
    /// Writes them without the length of the section.
    fn write_list<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError>;
}

/// Writes a section with its length.
pub(crate) fn write_section<S: Sink>(
    list: &impl PropertyList,
    sink: &mut S,
) -> Result<(), EncodeError> {
    let len = measure(|length| list.write_list(length))?;
    sink.varint(len);
    list.write_list(sink)
}

/// Writes single properties; those that are `None` are left out.
pub(crate) trait PropertySink: Sink {
    fn byte_property(&mut self, id: PropertyId, value: Option<u8>) {
        if let Some(value) = value {
            self.put(&[id as u8, value]);
        }
    }

    fn flag_property(&mut self, id: PropertyId, value: Option<bool>) {
        self.byte_property(id, value.map(u8::from));
    }

    fn u16_property(&mut self, id: PropertyId, value: Option<u16>) {
        if let Some(value) = value {
            self.put(&[id as u8]);
            self.u16(value);
        }
    }

    fn u32_property(&mut self, id: PropertyId, value: Option<u32>) {
        if let Some(value) = value {
            self.put(&[id as u8]);
            self.u32(value);
        }
    }

    fn string_property(&mut self, id: PropertyId, value: Option<&str>) -> Result<(), EncodeError> {
        let Some(value) = value else { return Ok(()) };
        self.put(&[id as u8]);
        self.string(id.words(), value)
    }

    fn binary_property(&mut self, id: PropertyId, value: Option<&[u8]>) -> Result<(), EncodeError> {
        let Some(value) = value else { return Ok(()) };
        self.put(&[id as u8]);
        self.binary(id.words(), value)
    }
}

impl<S: Sink> PropertySink for S {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_fit_the_set_of_those_seen_and_one_byte() {
        for id in PropertyId::ALL {
            assert!((*id as u8) < 64);
            assert_eq!(PropertyId::from_u8(*id as u8), Some(*id));
        }
        assert_eq!(PropertyId::ALL.len(), 27);
    }

    #[test]
    fn a_repeated_property_is_refused_and_a_user_property_is_not() {
        let mut section = Section::of(&[0x21, 0, 1, 0x21, 0, 1], PacketKind::Connect);
        assert_eq!(section.next(), Ok(Some(PropertyId::ReceiveMaximum)));
        section.u16(PropertyId::ReceiveMaximum).unwrap();
        let property = PropertyId::ReceiveMaximum;
        assert_eq!(section.next(), Err(DecodeError::PropertyRepeated { property }));
        let mut section = Section::of(&[0x26, 0, 0, 0, 0, 0x26, 0, 0, 0, 0], PacketKind::Connect);
        for _ in 0..2 {
            assert_eq!(section.next(), Ok(Some(PropertyId::UserProperty)));
            section.skip_user_property().unwrap();
        }
        assert_eq!(section.next(), Ok(None));
    }
}
