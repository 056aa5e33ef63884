use super::{Damage, join};
use crate::key::{Key, Place};

/// Puts records together from entries in key order.
pub(crate) struct Assembler {
    format: u8,
    pieces: Vec<(Key, Vec<u8>)>,
    place: Option<Place>,
}

/// All that was found of one record.
pub(crate) struct Assembled {
    pub(crate) place: Place,
    pub(crate) pieces: Vec<(Key, Vec<u8>)>,
    /// Its body, and how many pieces belong to it.
    pub(crate) body: Result<(Vec<u8>, u32), Damage>,
}

impl Assembler {
    pub(crate) const fn new(format: u8) -> Self {
        Self { format, pieces: Vec::new(), place: None }
    }

    /// Takes the next entry; gives back the record before, if that ended there.
    pub(crate) fn feed(&mut self, key: Key, place: Place, value: &[u8]) -> Option<Assembled> {
        let mut ended = None;
        if self.place.is_none_or(|current| current.base != place.base) {
            ended = self.finish();
            self.place = Some(place);
        }
        self.pieces.push((key, value.to_vec()));
        ended
    }

    /// The last record.
    pub(crate) fn finish(&mut self) -> Option<Assembled> {
        let place = self.place.take()?;
        let pieces = std::mem::take(&mut self.pieces);
        let body = join(self.format, place.kind, place.base, &pieces);
        Some(Assembled { place, pieces, body })
    }
}
