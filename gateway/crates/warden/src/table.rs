use std::collections::BTreeMap;
use std::ops::Bound;

/// A map of at most so many entries. When it is full, entries that say nothing any more make room; where none is found,
/// a new one gets none, so that nobody is forgotten because others have come.
///
/// It is sorted, not hashed: what is in it is chosen by strangers.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    entries: BTreeMap<K, V>,
    most: usize,
    /// Where the next search for room goes on.
    cursor: Option<K>,
}

/// Entries that are looked at for room at a time.
const LOOKS: usize = 16;

impl<K: Copy + Ord, V> Table<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { entries: BTreeMap::new(), most, cursor: None }
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.entries.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.entries.get_mut(&key)
    }

    pub(crate) fn remove(&mut self, key: K) {
        self.entries.remove(&key);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry of a key, a new one if need be; `None` if there is no room for that. An entry that is `idle` is as good
    /// as a new one.
    pub(crate) fn place(
        &mut self,
        key: K,
        new: impl FnOnce() -> V,
        idle: impl Fn(&V) -> bool,
    ) -> Option<&mut V> {
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            self.make_room(idle);
            if self.entries.len() >= self.most {
                return None;
            }
        }
        Some(self.entries.entry(key).or_insert_with(new))
    }

    fn make_room(&mut self, idle: impl Fn(&V) -> bool) {
        let from = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.entries.range((from, Bound::Unbounded));
        let looked: Vec<_> = behind.take(LOOKS).map(|(key, value)| (*key, idle(value))).collect();
        // Behind the last entry it begins again.
        self.cursor = looked.last().map(|(key, _)| *key).filter(|_| looked.len() == LOOKS);
        for (key, _) in looked.into_iter().filter(|(_, idle)| *idle) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_stays_until_it_says_nothing() {
        let mut table: Table<u32, bool> = Table::new(100);
        for key in 0..1000 {
            table.place(key, || false, |idle| *idle);
        }
        assert_eq!(table.len(), 100);
        assert!(table.get(99).is_some() && table.get(100).is_none());
        *table.get_mut(70).expect("it is in") = true;
        // The search goes round: within as many steps as it needs for the whole table it has found it.
        let tries = (2000..).take_while(|key| table.place(*key, || false, |idle| *idle).is_none());
        assert!(tries.count() <= 100 / LOOKS + 1);
        assert!(table.get(70).is_none() && table.len() == 100);
    }
}
