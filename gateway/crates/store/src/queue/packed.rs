use broker::Timestamp;
use mqtt::QoS;

use super::entry::Entry;
use crate::log::Position;

/// An entry as it is kept in memory: a tail page of each of thousands of sessions may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// In segment 0 if there is no message: segments are numbered from 1.
    message: Position,
    /// Milliseconds since the Unix epoch; the highest number if it never expires.
    expires: u64,
    ids: Option<Box<Ids>>,
    weight: u32,
    sharers: u16,
    flags: u8,
    pub(super) slot: u8,
}

/// Subscription identifiers, of which few entries have any.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ids(Box<[u32]>);

pub(super) const PACKED_BYTES: usize = size_of::<Packed>();
const _: () = assert!(PACKED_BYTES <= 32 || usize::BITS < 64);

const NOWHERE: Position = Position { segment: 0, offset: 0 };
const NEVER: u64 = u64::MAX;

impl Packed {
    pub(super) fn new(slot: u8, entry: Entry) -> Self {
        let flags = [entry.qos == QoS::ExactlyOnce, entry.retain, entry.released, entry.shared];
        Self {
            message: entry.message.unwrap_or(NOWHERE),
            expires: entry.expires.map_or(NEVER, Timestamp::as_unix_ms),
            ids: (!entry.ids.is_empty()).then(|| Box::new(Ids(entry.ids))),
            weight: entry.weight,
            sharers: entry.sharers,
            flags: flags.iter().rev().fold(0, |flags, set| flags << 1 | u8::from(*set)),
            slot,
        }
    }

    pub(super) fn entry(&self) -> Entry {
        let set = |bit: u8| self.flags >> bit & 1 != 0;
        Entry {
            qos: if set(0) { QoS::ExactlyOnce } else { QoS::AtLeastOnce },
            retain: set(1),
            released: set(2),
            shared: set(3),
            ids: self.ids.as_ref().map(|ids| ids.0.clone()).unwrap_or_default(),
            message: (self.message.segment != 0).then_some(self.message),
            weight: self.weight,
            sharers: self.sharers,
            expires: (self.expires != NEVER).then(|| Timestamp::from_unix_ms(self.expires)),
        }
    }
}
