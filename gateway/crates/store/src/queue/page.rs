use broker::durable::QueueSummary;

use super::{
    entry::{Entry, SPARE, Trail},
    packed::Packed,
};
use crate::{Damage, varint::Reader};

/// Bits of a sequence that say where in its page an entry stands.
const SLOT_BITS: u32 = 7;
/// Entries of a page at most.
pub(crate) const SLOTS: u64 = 1 << SLOT_BITS;

/// The number of the page that holds `sequence`, and the place in it.
pub(crate) const fn place(sequence: u64) -> (u64, u8) {
    (sequence >> SLOT_BITS, (sequence & (SLOTS - 1)) as u8)
}

/// The sequence at `slot` of page `number`.
pub(crate) const fn sequence(number: u64, slot: u8) -> u64 {
    number << SLOT_BITS | slot as u64
}

/// Those entries of a session's queue whose sequences have all but the lowest bits in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueuePage {
    /// By ascending slot.
    entries: Vec<Packed>,
}

impl QueuePage {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u8, Entry)> {
        self.entries.iter().map(|packed| (packed.slot, packed.entry()))
    }

    pub(crate) fn get(&self, slot: u8) -> Option<Entry> {
        let at = self.find(slot).ok()?;
        self.entries.get(at).map(Packed::entry)
    }

    /// Puts an entry; gives back the one that was there.
    pub(crate) fn put(&mut self, slot: u8, entry: Entry) -> Option<Entry> {
        let packed = Packed::new(slot, entry);
        match self.find(slot) {
            Ok(at) => {
                let there = self.entries.get_mut(at)?;
                Some(std::mem::replace(there, packed).entry())
            }
            Err(at) => {
                self.entries.insert(at, packed);
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, slot: u8) -> Option<Entry> {
        let at = self.find(slot).ok()?;
        Some(self.entries.remove(at).entry())
    }

    /// Keeps only entries that `keep` approves; gives back the others.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) -> Vec<Entry> {
        let removed = self.entries.extract_if(.., |packed| !keep(&packed.entry()));
        removed.map(|packed| packed.entry()).collect()
    }

    fn find(&self, slot: u8) -> Result<usize, usize> {
        // Most are put at the end.
        match self.entries.last() {
            Some(last) if last.slot < slot => Err(self.entries.len()),
            None => Err(0),
            _ => self.entries.binary_search_by_key(&slot, |packed| packed.slot),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() * 10);
        let mut trail = Trail::default();
        let mut next = Some(0);
        for (slot, entry) in self.iter() {
            let follows = next == Some(slot);
            out.push(entry.flags(entry.message.is_some()) | if follows { SPARE } else { 0 });
            if !follows {
                out.push(slot);
            }
            if let Some(message) = entry.message {
                trail.push(message, &mut out);
            }
            entry.encode_rest(&mut trail, &mut out);
            next = slot.checked_add(1);
        }
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, Damage> {
        let mut reader = Reader(body);
        let mut trail = Trail::default();
        let mut page = Self::default();
        let mut next = 0;
        while !reader.is_empty() {
            let flags = reader.byte()?;
            let slot = if flags & SPARE == 0 { reader.byte()? } else { next };
            if slot < next || u64::from(slot) >= SLOTS {
                return Err(Damage::Invalid("place in a page"));
            }
            let entry =
                Entry::decode(flags, &mut reader, &mut trail, |reader, trail| trail.read(reader))?;
            page.entries.push(Packed::new(slot, entry));
            next = slot + 1;
        }
        Ok(page)
    }

    /// What the entries of the page with this number add up to.
    pub(crate) fn summary(&self, number: u64) -> QueueSummary {
        let mut summary = QueueSummary::default();
        if let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) {
            summary.first = sequence(number, first.slot);
            summary.next = sequence(number, last.slot).saturating_add(1);
        }
        for (_, entry) in self.iter() {
            summary.count += 1;
            summary.weight += entry.weight as usize;
            summary.shared += usize::from(entry.shared);
            summary.classify(&entry.ids, entry.weight as usize);
            summary.first_expiry = summary.first_expiry.into_iter().chain(entry.expires).min();
        }
        summary
    }
}

/// Adds the summary of a page that lies behind the others.
pub(crate) fn extend(summary: &mut QueueSummary, page: &QueueSummary) {
    if page.count == 0 {
        return;
    }
    if summary.count == 0 {
        summary.first = page.first;
    }
    summary.next = page.next;
    summary.count += page.count;
    summary.weight += page.weight;
    summary.shared += page.shared;
    for (class, sum) in &page.classes {
        let known = summary.classes.entry(*class).or_default();
        known.count += sum.count;
        known.weight += sum.weight;
    }
    summary.first_expiry = summary.first_expiry.into_iter().chain(page.first_expiry).min();
}

#[cfg(test)]
mod tests {
    use broker::Timestamp;
    use mqtt::QoS;
    use proptest::prelude::*;

    use super::*;
    use crate::log::Position;

    fn any_entry() -> impl Strategy<Value = Entry> {
        let expires = prop::option::of(0..u64::MAX);
        let place = (1..=u32::MAX, any::<u32>(), any::<u32>(), any::<u16>(), expires);
        let ids = prop::collection::vec(any::<u32>(), 0..4);
        (any::<[bool; 5]>(), ids, place).prop_map(|(flags, ids, place)| {
            let [exactly_once, retain, released, shared, lost] = flags;
            let (segment, offset, weight, sharers, expires) = place;
            let entry = Entry {
                qos: if exactly_once { QoS::ExactlyOnce } else { QoS::AtLeastOnce },
                retain,
                released: false,
                shared,
                ids: ids.into(),
                message: (!lost).then_some(Position { segment, offset }),
                weight,
                sharers,
                expires: expires.map(Timestamp::from_unix_ms),
            };
            if released { entry.release() } else { entry }
        })
    }

    fn queue(first: u32, count: u8) -> QueuePage {
        let mut page = QueuePage::default();
        for slot in 0..count {
            let position = Position { segment: 77, offset: first + u32::from(slot) * 310 };
            let entry = Entry {
                qos: QoS::AtLeastOnce,
                retain: false,
                released: false,
                shared: false,
                ids: Box::default(),
                message: Some(position),
                weight: 380,
                sharers: 1,
                expires: None,
            };
            page.put(slot, entry);
        }
        page
    }

    #[test]
    fn a_full_page_is_small() {
        let page = queue(5_000_000, 128);
        assert!(page.encode().len() <= 128 * 7 + 10, "{}", page.encode().len());
        let summary = page.summary(3);
        assert_eq!((summary.first, summary.next), (384, 512));
        assert_eq!((summary.count, summary.weight), (128, 128 * 380));
    }

    proptest! {
        #[test]
        fn pages_come_back(entries in prop::collection::btree_map(0..128_u8, any_entry(), 0..128)) {
            let mut page = QueuePage::default();
            for (slot, entry) in &entries {
                prop_assert!(page.put(*slot, entry.clone()).is_none());
            }
            prop_assert_eq!(QueuePage::decode(&page.encode()), Ok(page.clone()));
            for (slot, entry) in entries {
                prop_assert_eq!(page.remove(slot), Some(entry));
            }
            prop_assert!(page.is_empty());
        }

        #[test]
        fn arbitrary_bodies_never_panic(body: Vec<u8>) {
            if let Ok(page) = QueuePage::decode(&body) {
                prop_assert_eq!(QueuePage::decode(&page.encode()), Ok(page));
            }
        }
    }
}
