use super::wire::{u32_at, u64_at};

/// Bytes before a segment's first group.
pub(super) const HEADER_LEN: u32 = 32;

const MAGIC: u32 = 0xF0_50_43_53;
const VERSION: u32 = 1;

/// What a segment file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) segment: u32,
    /// Number of the first group that is in it, or was to be.
    pub(super) first: u64,
    /// The log's own number, the same in every segment and known to nobody outside.
    pub(super) secret: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_LEN as usize] {
        let mut bytes = [0; HEADER_LEN as usize];
        bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[4..8].copy_from_slice(&VERSION.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.segment.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.first.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.secret.to_be_bytes());
        let sum = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// The header at the beginning of `bytes`, if it is whole and that of `segment`.
    pub(super) fn decode(bytes: &[u8], segment: u32) -> Option<Self> {
        let sum = crc32fast::hash(bytes.get(..28)?);
        let right = u32_at(bytes, 0)? == MAGIC
            && u32_at(bytes, 4)? == VERSION
            && u32_at(bytes, 8)? == segment
            && u32_at(bytes, 28)? == sum;
        let (first, secret) = (u64_at(bytes, 12)?, u64_at(bytes, 20)?);
        right.then_some(Self { segment, first, secret })
    }

    pub(super) fn salt(&self) -> Salt {
        Salt::new(self.secret, self.segment)
    }
}

/// What the sums in one segment begin with.
///
/// Bytes that another segment left on the disk are thus not taken for this one's, and a
/// client cannot place a group inside a payload for a scan to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt(pub(super) u32);

impl Salt {
    pub(super) fn new(secret: u64, segment: u32) -> Self {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&secret.to_be_bytes());
        sum.update(&segment.to_be_bytes());
        Self(sum.finalize())
    }
}
