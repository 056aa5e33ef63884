use broker::Timestamp;
use broker::durable::{DeliveryRecord, Wanted};
use mqtt::QoS;

use crate::{
    Damage,
    log::Position,
    varint::{self, Reader},
};

/// One entry of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Quality of service, 1 or 2.
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Only PUBREL is owed.
    pub(crate) released: bool,
    pub(crate) shared: bool,
    pub(crate) ids: Box<[u32]>,
    /// Where its message is; none of one that is released, or whose message is lost.
    pub(crate) message: Option<Position>,
    /// [`broker::Message::weight`] of the message; 0 of one that is released.
    pub(crate) weight: u32,
    /// How many entries are taken to share the message's bytes; 0, if others account for them.
    pub(crate) sharers: u16,
    pub(crate) expires: Option<Timestamp>,
}

const EXACTLY_ONCE: u8 = 1;
const RETAIN: u8 = 1 << 1;
const RELEASED: u8 = 1 << 2;
const SHARED: u8 = 1 << 3;
const EXPIRES: u8 = 1 << 4;
const IDS: u8 = 1 << 5;
const LOST: u8 = 1 << 6;
/// Left to whoever writes an entry; [`Entry::encode`] does not set it.
pub(crate) const SPARE: u8 = 1 << 7;

/// Where the last entry was, when entries are written one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trail {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) expires: u64,
}

impl Entry {
    /// The entry that `delivery` describes, for a message that is not yet anywhere.
    pub(crate) fn new(delivery: &DeliveryRecord, message: &broker::Message) -> Self {
        let entry = Self {
            qos: delivery.qos,
            retain: delivery.retain,
            released: false,
            shared: delivery.shared,
            ids: delivery.ids.clone().into_boxed_slice(),
            message: None,
            weight: u32::try_from(message.weight()).unwrap_or(u32::MAX),
            sharers: 0,
            expires: message.expires,
        };
        if delivery.released { entry.release() } else { entry }
    }

    /// The entry that `delivery` describes, of which only PUBREL is owed.
    pub(crate) fn released(delivery: &DeliveryRecord) -> Self {
        Self {
            qos: delivery.qos,
            retain: delivery.retain,
            released: true,
            shared: delivery.shared,
            ids: delivery.ids.clone().into_boxed_slice(),
            message: None,
            weight: 0,
            sharers: 0,
            expires: None,
        }
    }

    /// The same, with only PUBREL owed.
    pub(crate) fn release(mut self) -> Self {
        self.released = true;
        (self.message, self.weight, self.sharers, self.expires) = (None, 0, 0, None);
        self
    }

    pub(crate) fn delivery(&self) -> DeliveryRecord {
        DeliveryRecord {
            qos: self.qos,
            retain: self.retain,
            released: self.released,
            shared: self.shared,
            ids: self.ids.to_vec(),
        }
    }

    /// Whether a read wants it.
    pub(crate) fn is_wanted(&self, wanted: Wanted) -> bool {
        wanted.takes(self.expires, &self.ids)
    }

    /// Bytes of its message that it accounts for.
    pub(crate) fn share(&self) -> u64 {
        u64::from(self.weight).checked_div(u64::from(self.sharers)).unwrap_or(0)
    }

    /// The byte that an entry begins with.
    pub(crate) fn flags(&self, has_message: bool) -> u8 {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        flag(self.qos == QoS::ExactlyOnce, EXACTLY_ONCE)
            | flag(self.retain, RETAIN)
            | flag(self.released, RELEASED)
            | flag(self.shared, SHARED)
            | flag(self.expires.is_some(), EXPIRES)
            | flag(!self.ids.is_empty(), IDS)
            | flag(!self.released && !has_message, LOST)
    }

    /// What follows the flags and the message's place.
    pub(crate) fn encode_rest(&self, trail: &mut Trail, out: &mut Vec<u8>) {
        if !self.released {
            varint::push(out, u64::from(self.weight));
            varint::push(out, u64::from(self.sharers));
        }
        if let Some(expires) = self.expires {
            let at = expires.as_unix_ms();
            varint::push_signed(out, varint::distance(trail.expires, at));
            trail.expires = at;
        }
        if !self.ids.is_empty() {
            varint::push(out, self.ids.len() as u64);
            self.ids.iter().for_each(|id| varint::push(out, u64::from(*id)));
        }
    }

    /// Reads an entry; `place` reads its message's place, where it has one.
    pub(crate) fn decode<'a>(
        flags: u8,
        reader: &mut Reader<'a>,
        trail: &mut Trail,
        place: impl FnOnce(&mut Reader<'a>, &mut Trail) -> Result<Position, Damage>,
    ) -> Result<Self, Damage> {
        let set = |flag: u8| flags & flag != 0;
        let released = set(RELEASED);
        if released && (set(LOST) || set(EXPIRES)) {
            return Err(Damage::Invalid("queue entry"));
        }
        let message = match released || set(LOST) {
            true => None,
            false => Some(place(reader, trail)?),
        };
        let (weight, sharers) = match released {
            true => (0, 0),
            false => (reader.u32()?, reader.number()?),
        };
        let expires = match set(EXPIRES) {
            false => None,
            true => {
                trail.expires = varint::moved(trail.expires, reader.signed()?);
                Some(Timestamp::from_unix_ms(trail.expires))
            }
        };
        let mut ids = Vec::new();
        if set(IDS) {
            for _ in 0..reader.number()? {
                ids.push(reader.u32()?);
            }
        }
        Ok(Self {
            qos: if set(EXACTLY_ONCE) { QoS::ExactlyOnce } else { QoS::AtLeastOnce },
            retain: set(RETAIN),
            released,
            shared: set(SHARED),
            ids: ids.into_boxed_slice(),
            message,
            weight,
            sharers: u16::try_from(sharers).map_err(|_| Damage::Invalid("queue entry"))?,
            expires,
        })
    }
}

impl Trail {
    pub(crate) fn push(&mut self, to: Position, out: &mut Vec<u8>) {
        let (segment, offset) = (u64::from(to.segment), u64::from(to.offset));
        varint::push_signed(out, varint::distance(self.segment, segment));
        if segment == self.segment {
            varint::push_signed(out, varint::distance(self.offset, offset));
        } else {
            varint::push(out, offset);
        }
        (self.segment, self.offset) = (segment, offset);
    }

    pub(crate) fn read(&mut self, reader: &mut Reader<'_>) -> Result<Position, Damage> {
        let by = reader.signed()?;
        self.segment = varint::moved(self.segment, by);
        self.offset = match by {
            0 => varint::moved(self.offset, reader.signed()?),
            _ => reader.number()?,
        };
        let number = |value: u64| u32::try_from(value).map_err(|_| Damage::Invalid("position"));
        Ok(Position { segment: number(self.segment)?, offset: number(self.offset)? })
    }
}
