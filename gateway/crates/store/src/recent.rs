use std::{collections::HashMap, hash::Hash};

use crate::log::Position;

/// Where some things were put lately; the oldest half is forgotten when there are too many.
#[derive(Debug)]
pub(crate) struct Recent<K> {
    young: HashMap<K, Position>,
    old: HashMap<K, Position>,
}

/// Things remembered are this many at least, and twice as many at most.
const GENERATION: usize = 32_768;

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash> Recent<K> {
    pub(crate) fn get(&self, key: &K) -> Option<Position> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    pub(crate) fn insert(&mut self, key: K, position: Position) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, position);
    }

    /// Forgets what is in these segments.
    pub(crate) fn forget(&mut self, mut segment: impl FnMut(u32) -> bool) {
        for generation in [&mut self.young, &mut self.old] {
            generation.retain(|_, position| !segment(position.segment));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_and_not_too_many() {
        let mut recent = Recent::default();
        for number in 0..100_000_u32 {
            recent.insert(number, Position { segment: number / 50_000, offset: number });
            assert!(recent.young.len() + recent.old.len() <= 2 * GENERATION);
        }
        assert!((100_000 - 32_768..100_000).all(|number| recent.get(&number).is_some()));
        assert_eq!(recent.get(&5), None);
        recent.forget(|segment| segment == 1);
        assert_eq!(recent.get(&99_999), None);
    }
}
