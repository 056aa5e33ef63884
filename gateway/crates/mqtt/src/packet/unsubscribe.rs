use std::fmt;

use super::PacketKind;
use super::subscribe::read_filter;
use crate::error::{DecodeError, EncodeError};
use crate::filter::TopicFilter;
use crate::ident::{PacketId, Version};
use crate::properties::{PropertyId, PropertyList, Section, UserProperties, write_section};
use crate::reader::Reader;
use crate::sink::{self, Body, Sink};

/// UNSUBSCRIBE (3.10): a client asks for no more messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Names the exchange.
    pub packet_id: PacketId,
    /// Names and values.
    pub user: UserProperties<'a>,
    /// The subscriptions to end; at least one.
    pub filters: UnsubscribeFilters<'a>,
}

const KIND: PacketKind = PacketKind::Unsubscribe;

impl<'a> Unsubscribe<'a> {
    /// Appends it to `out`.
    ///
    /// # Errors
    /// As [`Packet::encode`](super::Packet::encode).
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.filters.entries.is_empty() {
            return Err(EncodeError::EmptyList { kind: KIND });
        }
        sink::encode(self, version, out)
    }

    pub(crate) fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(KIND)?;
        let mut user = UserProperties::default();
        if version.is_v5() {
            let mut section = Section::read(&mut reader, KIND)?;
            user = UserProperties::of(section.whole());
            while let Some(id) = section.next()? {
                match id {
                    PropertyId::UserProperty => section.skip_user_property()?,
                    id => return Err(section.not_allowed(id)),
                }
            }
        }
        if reader.is_empty() {
            return Err(DecodeError::EmptyList { kind: KIND });
        }
        let entries = reader.clone().rest();
        while !reader.is_empty() {
            read_filter(&mut reader)?;
        }
        Ok(Self { packet_id, user, filters: UnsubscribeFilters { entries } })
    }
}

/// Filters in the order of the packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UnsubscribeFilters<'a> {
    entries: &'a [u8],
}

impl<'a> UnsubscribeFilters<'a> {
    /// The filters.
    pub fn iter(self) -> impl Iterator<Item = TopicFilter<'a>> {
        let mut reader = Reader::new(self.entries);
        std::iter::from_fn(move || Some(TopicFilter::checked_before(reader.utf8("").ok()?)))
    }
}

impl fmt::Debug for UnsubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Filters to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnsubscribeFiltersBuf(Vec<u8>);

impl UnsubscribeFiltersBuf {
    /// Adds a filter at the end.
    pub fn push(&mut self, filter: TopicFilter<'_>) {
        self.0.topic(filter.as_str());
    }

    /// The borrowed form.
    pub fn as_ref(&self) -> UnsubscribeFilters<'_> {
        UnsubscribeFilters { entries: &self.0 }
    }
}

impl Body for Unsubscribe<'_> {
    fn first_byte(&self) -> u8 {
        KIND.first_byte()
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) -> Result<(), EncodeError> {
        sink.u16(self.packet_id.get());
        if version.is_v5() {
            write_section(self, sink)?;
        }
        sink.put(self.filters.entries);
        Ok(())
    }
}

impl PropertyList for Unsubscribe<'_> {
    fn write_list<S: Sink>(&self, sink: &mut S) -> Result<(), EncodeError> {
        self.user.write(sink);
        Ok(())
    }
}
