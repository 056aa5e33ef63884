use std::{collections::VecDeque, ops::Bound};

use super::database::{Database, READ};
use crate::{StoreError, key::Kind};

/// Entries written to the copy at a time.
const BATCH: usize = 256;
/// Ranges of one kind of record that are searched for what damage left readable.
const PROBES: usize = 2048;
/// Longest key that is divided in the search.
const WIDTH: usize = 32;

/// What a copy holds.
pub(super) struct Copied {
    pub(super) records: u64,
    /// Why it does not hold everything.
    pub(super) damage: Option<StoreError>,
}

/// Copies every readable entry of `from` and makes the copy durable.
pub(super) fn copy(from: &Database, to: &Database) -> Result<Copied, StoreError> {
    let mut copy = Copy {
        from,
        to,
        batch: sled::Batch::default(),
        waiting: 0,
        copied: Copied { records: 0, damage: None },
    };
    for kind in Kind::ALL {
        copy.kind(kind)?;
    }
    copy.flush()?;
    to.make_durable()?;
    Ok(copy.copied)
}

struct Copy<'a> {
    from: &'a Database,
    to: &'a Database,
    batch: sled::Batch,
    waiting: usize,
    copied: Copied,
}

/// A range of keys: from the first, included, to the second, excluded.
type Range = (Vec<u8>, Vec<u8>);

impl Copy<'_> {
    /// A damaged page ends an iteration. So what is left of a range is read from its
    /// back, and what is left then is halved, the widest gaps first.
    fn kind(&mut self, kind: Kind) -> Result<(), StoreError> {
        let tag = kind as u8;
        let end = tag.checked_add(1).map_or(vec![tag; WIDTH], |next| vec![next]);
        let mut gaps = VecDeque::from([(vec![tag], end)]);
        for _ in 0..PROBES {
            let Some(range) = gaps.pop_front() else { break };
            let Some((low, high)) = self.ends(range)? else { continue };
            let middle = between(&low, &high);
            if low < middle && middle < high {
                gaps.push_back((low, middle.clone()));
                gaps.push_back((middle, high));
            }
        }
        Ok(())
    }

    /// Copies both ends of a range up to where damage begins; gives back the damaged
    /// part.
    fn ends(&mut self, (mut low, mut high): Range) -> Result<Option<Range>, StoreError> {
        let entries = |db: &sled::Db, low: &[u8], high: &[u8]| {
            db.range((Bound::Included(low.to_vec()), Bound::Excluded(high.to_vec())))
        };
        let from = self.from;
        let forward = from.run(READ, |db| {
            let range = (low.clone(), high.clone());
            for entry in entries(db, &range.0, &range.1) {
                let (key, value) = entry.map_err(StoreError::read)?;
                self.push(&key, &value)?;
                low = key.to_vec();
                low.push(0);
            }
            Ok(())
        });
        let Some(range) = self.note(forward, (low, high))? else { return Ok(None) };
        (low, high) = range;
        let backward = from.run(READ, |db| {
            let range = (low.clone(), high.clone());
            for entry in entries(db, &range.0, &range.1).rev() {
                let (key, value) = entry.map_err(StoreError::read)?;
                self.push(&key, &value)?;
                high = key.to_vec();
            }
            Ok(())
        });
        self.note(backward, (low, high))
    }

    /// Damage leaves `rest` unread; anything else ends the copy.
    fn note(
        &mut self,
        read: Result<(), StoreError>,
        rest: Range,
    ) -> Result<Option<Range>, StoreError> {
        match read {
            Ok(()) => Ok(None),
            Err(damage @ StoreError::Damaged { .. }) => {
                self.copied.damage.get_or_insert(damage);
                Ok(Some(rest))
            }
            Err(other) => Err(other),
        }
    }

    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.batch.insert(key, value);
        self.waiting += 1;
        self.copied.records += 1;
        if self.waiting >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.waiting = 0;
        self.to.apply_batch(std::mem::take(&mut self.batch))
    }
}

/// The key halfway between two, both taken as fractions.
fn between(low: &[u8], high: &[u8]) -> Vec<u8> {
    let digits = |key: &[u8]| {
        let mut padded = key.to_vec();
        padded.resize(WIDTH, 0);
        padded
    };
    let mut sum = Vec::with_capacity(WIDTH + 1);
    let mut carry = 0;
    for (a, b) in digits(low).into_iter().zip(digits(high)).rev() {
        let total = u16::from(a) + u16::from(b) + carry;
        carry = total >> 8;
        sum.push(total & 0xFF);
    }
    let mut half = Vec::with_capacity(WIDTH);
    for digit in sum.into_iter().rev() {
        let total = carry << 8 | digit;
        half.push((total >> 1).to_be_bytes()[1]);
        carry = total & 1;
    }
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_lies_between() {
        let padded = |key: &[u8]| [key, &[0; WIDTH][key.len()..]].concat();
        assert_eq!(between(&[0x30], &[0x31]), padded(&[0x30, 0x80]));
        assert_eq!(between(&[0x30, 0xFF], &[0x31, 0x01]), padded(&[0x31]));
        assert_eq!(between(&[0xFE; 32], &[0xFF; 32])[0], 0xFF);
        assert_eq!(between(&[7; 32], &[7; 32]), [7; 32]);
    }
}
