use std::ops::RangeInclusive;

use mqtt::PacketId;

/// The packet identifiers of a row, in which the numbers of its deliveries go round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identifiers {
    first: u16,
    /// How many deliveries can be told apart.
    pub(super) count: u64,
}

impl Identifiers {
    /// All that there are (MQTT 5, 2.2.1).
    pub(super) const ALL: Self = Self { first: 1, count: 65_535 };

    /// Those of a range that is not empty and does not begin at 0.
    pub(super) fn within(range: &RangeInclusive<u16>) -> Option<Self> {
        let (first, last) = (*range.start(), *range.end());
        let count = u64::from(last.checked_sub(first)?) + 1;
        (first > 0).then_some(Self { first, count })
    }

    /// The identifier that a delivery has on the wire.
    pub(super) fn of(self, sequence: u64) -> PacketId {
        let number = u16::try_from(sequence % self.count).unwrap_or(0);
        PacketId::new(self.first.saturating_add(number)).unwrap_or(PacketId::MIN)
    }

    /// By how many numbers the next delivery with this identifier comes after `front`; `None` if no delivery has it.
    pub(super) fn ahead(self, packet_id: PacketId, front: u64) -> Option<u64> {
        let place = u64::from(packet_id.get().checked_sub(self.first)?);
        (place < self.count).then(|| (place + self.count - front % self.count) % self.count)
    }
}
