use std::collections::BTreeSet;

use crate::disk::Place;
use crate::random::Random;
use crate::record::Record;

/// Where the power is cut: after these records, ascending.
#[derive(Debug)]
pub(crate) struct Cuts {
    pub(crate) places: Vec<Place>,
    /// Moments just before and just after the end of a sync.
    pub(crate) boundaries: usize,
    pub(crate) boundaries_cut: usize,
}

/// Of a thousand cuts, those that are at a sync while there are others to be cut at.
const AT_SYNCS: usize = 800;

/// Chooses `points` places: before and after the ends of syncs, all of them if there are enough points,
/// and anywhere between. The last record before the next change is the worst moment after a sync: whatever
/// was acknowledged because of it has been heard by then.
pub(crate) fn choose(records: &[Record], points: usize, random: &mut Random) -> Cuts {
    let mut boundaries = BTreeSet::new();
    for (place, record) in records.iter().enumerate() {
        if matches!(record, Record::SyncEnded { .. }) {
            boundaries.extend(place.checked_sub(1));
            let later = records.iter().enumerate().skip(place + 1);
            let marks = later.take_while(|(_, it)| matches!(it, Record::Mark(_)));
            boundaries.insert(marks.last().map_or(place, |(last, _)| last));
        }
    }
    let all: Vec<Place> = boundaries.iter().copied().collect();
    let at_syncs = all.len().min(points * AT_SYNCS / 1000);
    // Evenly over the run.
    let mut places: BTreeSet<Place> =
        (0..at_syncs).map(|number| all[number * all.len() / at_syncs]).collect();
    let boundaries_cut = places.len();
    while places.len() < points.min(records.len()) {
        places.insert(usize::try_from(random.below(records.len() as u64)).unwrap_or_default());
    }
    Cuts { places: places.into_iter().collect(), boundaries: all.len(), boundaries_cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_before_a_sync_ends_and_after_what_follows_from_it() {
        let ended = Record::SyncEnded { inode: 1, sync: 1 };
        let write = Record::Write { inode: 1, offset: 0, data: 0..0 };
        let records = [write.clone(), ended, Record::Mark(1), Record::Mark(2), write];
        let cuts = choose(&records, 3, &mut Random::new(1));
        assert_eq!(cuts.boundaries, 2);
        assert!(cuts.places.contains(&0) && cuts.places.contains(&3), "{:?}", cuts.places);
    }
}
