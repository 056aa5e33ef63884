use std::collections::{BTreeMap, BTreeSet};

use super::{Cut, random::Random};

/// Pieces in which changes are remembered: the smallest that a disk writes.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What a reader sees.
    pub(super) live: Vec<u8>,
    /// What survives a power cut.
    pub(super) disk: Vec<u8>,
    /// Sectors that differ and that the next sync writes.
    pub(super) dirty: BTreeSet<usize>,
    /// Behind it are zeros that take no space.
    pub(super) written: usize,
    last_write: Option<(usize, usize)>,
}

impl Inode {
    pub(super) fn durable(bytes: &[u8]) -> Self {
        Self { live: bytes.to_vec(), disk: bytes.to_vec(), written: bytes.len(), ..Self::default() }
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        let from = offset.min(self.live.len());
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(bytes);
        self.written = self.written.max(end);
        self.soil(from, end);
        self.last_write = Some((offset, end));
    }

    pub(super) fn set_len(&mut self, len: usize) {
        let before = self.live.len();
        self.live.resize(len, 0);
        self.written = self.written.min(len);
        self.soil(before.min(len), before.max(len));
    }

    fn soil(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
    }

    /// Copies the sectors to disk that `keep`; the file is then at least `len` long.
    fn settle(&mut self, len: usize, mut keep: impl FnMut(usize) -> bool) {
        self.disk.resize(len, 0);
        for sector in std::mem::take(&mut self.dirty) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(len).min(self.live.len());
            if start < end && keep(sector) {
                self.disk[start..end].copy_from_slice(&self.live[start..end]);
            }
        }
    }

    pub(super) fn sync(&mut self) {
        self.settle(self.live.len(), |_| true);
        self.last_write = None;
    }

    pub(super) fn cut(&mut self, how: Cut, random: &mut Random) {
        match how {
            Cut::Process => self.disk.clone_from(&self.live),
            Cut::Drop => {}
            Cut::Pieces(bytes) => {
                let (low, high) =
                    (self.disk.len().min(self.live.len()), self.disk.len().max(self.live.len()));
                let len = match random.below(4) {
                    0 => self.disk.len(),
                    1 => low + random.below(high - low + 1),
                    _ => self.live.len(),
                };
                let per_piece = (bytes / SECTOR).max(1);
                let mut kept = BTreeMap::new();
                let odds = random.below(4) + 1;
                self.settle(len, |sector| {
                    *kept.entry(sector / per_piece).or_insert_with(|| random.below(5) < odds)
                });
            }
            Cut::Torn => self.tear(random),
        }
        self.live.clone_from(&self.disk);
        self.written = self.written.min(self.live.len());
        self.dirty.clear();
        self.last_write = None;
    }

    /// Everything gets to disk but the end of the last write.
    fn tear(&mut self, random: &mut Random) {
        let before = self.disk.clone();
        let (start, end) = self.last_write.unwrap_or_default();
        self.settle(self.live.len(), |_| true);
        let end = end.min(self.disk.len());
        let torn = (start + random.below(end.saturating_sub(start) + 1)).min(end);
        for at in torn..end {
            self.disk[at] = before.get(at).copied().unwrap_or(0);
        }
        if end == self.disk.len() && random.below(2) == 0 {
            self.disk.truncate(torn.max(before.len()));
        }
    }
}
