use std::fmt;

use super::{Checked, PropertyId, PropertySink, Section, UserProperties};
use crate::error::{DecodeError, EncodeError, TopicError};
use crate::packet::PacketKind;
use crate::sink::Sink;
use crate::topic::TopicName;

/// The properties that a message keeps on its way from publisher to subscriber (3.3.2.3): a server
/// forwards them as they are.
#[derive(Clone, Copy)]
pub struct MessageProperties<'a> {
    section: &'a [u8],
    /// Whether the section holds nothing else, so that it can be copied whole.
    whole: bool,
}

impl Default for MessageProperties<'_> {
    fn default() -> Self {
        Self { section: &[], whole: true }
    }
}

impl<'a> MessageProperties<'a> {
    /// Checks bytes that [`write_to`](Self::write_to) has written.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut section = Section::of(bytes, PacketKind::Publish);
        while let Some(id) = section.next()? {
            if !check(&mut section, id)? {
                return Err(section.not_allowed(id));
            }
        }
        Ok(Self { section: bytes, whole: true })
    }

    /// Those of a section that was checked; `whole` when it holds no others.
    pub(crate) fn of(section: &'a [u8], whole: bool) -> Self {
        Self { section, whole }
    }

    /// Whether there is no section to search, which is the common case of there being none.
    #[inline]
    pub(crate) fn has_no_bytes(self) -> bool {
        self.section.is_empty()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.section.is_empty() || self.forwarded().next().is_none()
    }

    /// Whether the publisher says that the payload is UTF-8 text (3.3.2.3.2).
    pub fn payload_format_utf8(self) -> bool {
        let value = self.find(PropertyId::PayloadFormatIndicator);
        value.is_some_and(|mut value| value.u8("") == Ok(1))
    }

    /// Whether `payload` is what the payload format indicator says: anything, or UTF-8 text
    /// (MQTT-3.3.2-6; text may contain U+0000). What is not is answered with 0x99.
    pub fn admits(self, payload: &[u8]) -> bool {
        !self.payload_format_utf8() || std::str::from_utf8(payload).is_ok()
    }

    /// Content type (3.3.2.3.9).
    pub fn content_type(self) -> Option<&'a str> {
        self.find(PropertyId::ContentType)?.utf8("").ok()
    }

    /// Response topic (3.3.2.3.5).
    pub fn response_topic(self) -> Option<TopicName<'a>> {
        TopicName::new(self.find(PropertyId::ResponseTopic)?.utf8("").ok()?).ok()
    }

    /// Correlation data (3.3.2.3.6).
    pub fn correlation_data(self) -> Option<&'a [u8]> {
        self.find(PropertyId::CorrelationData)?.binary("").ok()
    }

    /// User properties (3.3.2.3.7).
    pub fn user(self) -> UserProperties<'a> {
        UserProperties::of(self.section)
    }

    /// Bytes that [`write_to`](Self::write_to) writes.
    pub fn wire_len(self) -> usize {
        if self.whole { self.section.len() } else { self.forwarded().map(<[u8]>::len).sum() }
    }

    /// Appends them in the form that MQTT 5 has on the wire, without a length.
    pub fn write_to(self, out: &mut Vec<u8>) {
        self.write(out);
    }

    pub(crate) fn write(self, sink: &mut impl Sink) {
        if self.whole {
            sink.put(self.section);
        } else {
            self.forwarded().for_each(|wire| sink.put(wire));
        }
    }

    fn find(self, wanted: PropertyId) -> Option<crate::reader::Reader<'a>> {
        Checked::new(self.section).find(|(id, ..)| *id == wanted).map(|(_, value, _)| value)
    }

    fn forwarded(self) -> impl Iterator<Item = &'a [u8]> {
        Checked::new(self.section).filter(|(id, ..)| is_forwarded(*id)).map(|(.., wire)| wire)
    }
}

/// Whether a server forwards this property of a PUBLISH unaltered.
pub(crate) fn is_forwarded(id: PropertyId) -> bool {
    matches!(
        id,
        PropertyId::PayloadFormatIndicator
            | PropertyId::ContentType
            | PropertyId::ResponseTopic
            | PropertyId::CorrelationData
            | PropertyId::UserProperty
    )
}

/// Checks the value of a forwarded property and goes past it; false when it is another property.
#[inline]
pub(crate) fn check(section: &mut Section<'_>, id: PropertyId) -> Result<bool, DecodeError> {
    match id {
        PropertyId::PayloadFormatIndicator => section.flag(id).map(|_| true),
        PropertyId::ContentType => section.string(id).map(|_| true),
        PropertyId::ResponseTopic => match TopicName::new(section.utf8(id)?) {
            Ok(_) => Ok(true),
            Err(TopicError::NulCharacter) => {
                Err(DecodeError::NulCharacter { field: "response topic" })
            }
            Err(error) => Err(DecodeError::Topic { field: "response topic", error }),
        },
        PropertyId::CorrelationData => section.binary(id).map(|_| true),
        PropertyId::UserProperty => section.skip_user_property().map(|()| true),
        _ => Ok(false),
    }
}

impl PartialEq for MessageProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.payload_format_utf8() == other.payload_format_utf8()
            && self.content_type() == other.content_type()
            && self.response_topic() == other.response_topic()
            && self.correlation_data() == other.correlation_data()
            && self.user() == other.user()
    }
}

impl Eq for MessageProperties<'_> {}

impl fmt::Debug for MessageProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageProperties")
            .field("payload_format_utf8", &self.payload_format_utf8())
            .field("content_type", &self.content_type())
            .field("response_topic", &self.response_topic())
            .field("correlation_data", &self.correlation_data())
            .field("user", &self.user())
            .finish()
    }
}

/// Properties of a message to be sent. What is set again replaces what was set, except that
/// [`user`](Self::user) adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessagePropertiesBuf(Vec<u8>);

impl MessagePropertiesBuf {
    /// Says whether the payload is UTF-8 text.
    #[must_use]
    pub fn payload_format_utf8(mut self, utf8: bool) -> Self {
        self.remove(PropertyId::PayloadFormatIndicator);
        self.0.flag_property(PropertyId::PayloadFormatIndicator, Some(utf8));
        self
    }

    /// Sets the content type.
    ///
    /// # Errors
    /// [`EncodeError`] when it is longer than 65535 bytes or contains U+0000.
    pub fn content_type(mut self, text: &str) -> Result<Self, EncodeError> {
        self.remove(PropertyId::ContentType);
        self.0.string_property(PropertyId::ContentType, Some(text))?;
        Ok(self)
    }

    /// Sets the response topic.
    #[must_use]
    pub fn response_topic(mut self, topic: TopicName<'_>) -> Self {
        self.remove(PropertyId::ResponseTopic);
        self.0.put(&[PropertyId::ResponseTopic as u8]);
        self.0.topic(topic.as_str());
        self
    }

    /// Sets the correlation data.
    ///
    /// # Errors
    /// [`EncodeError`] when it is longer than 65535 bytes.
    pub fn correlation_data(mut self, data: &[u8]) -> Result<Self, EncodeError> {
        self.remove(PropertyId::CorrelationData);
        self.0.binary_property(PropertyId::CorrelationData, Some(data))?;
        Ok(self)
    }

    /// Adds a user property at the end.
    ///
    /// # Errors
    /// [`EncodeError`] when name or value is longer than 65535 bytes or contains U+0000.
    pub fn user(mut self, name: &str, value: &str) -> Result<Self, EncodeError> {
        self.0.put(&[PropertyId::UserProperty as u8]);
        self.0.string("user property name", name)?;
        self.0.string("user property value", value)?;
        Ok(self)
    }

    fn remove(&mut self, id: PropertyId) {
        if self.as_ref().find(id).is_some() {
            let others = Checked::new(&self.0).filter(|(other, ..)| *other != id);
            self.0 = others.flat_map(|(.., wire)| wire).copied().collect();
        }
    }

    /// The borrowed form.
    pub fn as_ref(&self) -> MessageProperties<'_> {
        MessageProperties::of(&self.0, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_again_replaces_what_was_set() {
        let built = MessagePropertiesBuf::default()
            .payload_format_utf8(false)
            .content_type("old")
            .and_then(|built| built.user("k", "1")?.user("k", "2"))
            .and_then(|built| built.payload_format_utf8(true).content_type("new"))
            .unwrap();
        let properties = MessageProperties::parse(&built.0).unwrap();
        assert!(properties.payload_format_utf8());
        assert_eq!(properties.content_type(), Some("new"));
        assert_eq!(properties.user().iter().collect::<Vec<_>>(), [("k", "1"), ("k", "2")]);
    }

    #[test]
    fn what_is_built_is_read_back_and_survives_a_mixed_section() {
        let topic = TopicName::new("reply/here").unwrap();
        let built = MessagePropertiesBuf::default()
            .payload_format_utf8(true)
            .content_type("text/plain")
            .and_then(|built| built.response_topic(topic).correlation_data(&[0, 1]))
            .and_then(|built| built.user("k", "v"))
            .unwrap();
        let properties = MessageProperties::parse(&built.0).unwrap();
        assert!(properties.payload_format_utf8());
        assert_eq!(properties.content_type(), Some("text/plain"));
        assert_eq!(properties.response_topic(), Some(topic));
        assert_eq!(properties.correlation_data(), Some(&[0, 1][..]));

        let mut mixed = vec![PropertyId::MessageExpiryInterval as u8, 0, 0, 0, 9];
        mixed.extend_from_slice(&built.0);
        assert!(MessageProperties::parse(&mixed).is_err());
        let mixed = MessageProperties::of(&mixed, false);
        let mut copy = Vec::new();
        mixed.write_to(&mut copy);
        assert_eq!((mixed, copy.len()), (properties, mixed.wire_len()));
        assert_eq!(copy, built.0);
    }
}
