//! Where each record lies in the one ordered key space.
//!
//! A key is a kind, then numbers big-endian, so that one session's queue is one
//! ascending range. Topics and filters stand in keys as digests: at up to 64 KiB
//! they would not fit into an engine page.

use std::{borrow::Borrow, fmt};

use broker::durable::SessionKey;
use mqtt::PacketId;
use sha2::{Digest, Sha256};

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A number about the whole store.
    Meta = 0x00,
    /// A session.
    Session = 0x10,
    /// A subscription of a session.
    Subscription = 0x20,
    /// A message that queues name, in a store of format 1.
    Message = 0x30,
    /// An entry of a session's queue, in a store of format 1.
    Delivery = 0x40,
    /// A page of a session's queue.
    Queue = 0x48,
    /// A received QoS 2 packet identifier.
    Received = 0x50,
    /// A retained message.
    Retained = 0x60,
    /// What an extension keeps, in a store of its own.
    Kept = 0x70,
    /// A damaged record, kept for inspection.
    Quarantine = 0xF0,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Meta,
        Self::Session,
        Self::Subscription,
        Self::Message,
        Self::Delivery,
        Self::Queue,
        Self::Received,
        Self::Retained,
        Self::Kept,
        Self::Quarantine,
    ];

    fn of(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == tag)
    }

    /// Length of a key of this kind without a fragment number.
    const fn base_len(self) -> usize {
        match self {
            Self::Meta => 2,
            Self::Session => 1 + 4,
            Self::Subscription => 1 + 4 + DIGEST,
            Self::Message => 1 + 8,
            Self::Delivery | Self::Queue => 1 + 4 + 8,
            Self::Received => 1 + 4 + 2,
            Self::Retained | Self::Kept => 1 + DIGEST,
            Self::Quarantine => 1,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Meta => "meta",
            Self::Session => "session",
            Self::Subscription => "subscription",
            Self::Message => "message",
            Self::Delivery => "delivery",
            Self::Queue => "queue",
            Self::Received => "received",
            Self::Retained => "retained",
            Self::Kept => "kept",
            Self::Quarantine => "quarantine",
        })
    }
}

/// Bytes of SHA-256 that stand for a topic or filter. Nobody finds two topics that
/// agree in 128 bits, not even on purpose.
const DIGEST: usize = 16;

/// Bytes of a fragment number.
const FRAGMENT: usize = 4;

/// A key, small enough to be copied.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Key {
    pub(crate) const MAX: usize = 31;

    pub(crate) fn meta(name: u8) -> Self {
        Self::of_kind(Kind::Meta).push(&[name])
    }

    pub(crate) fn session(session: SessionKey) -> Self {
        Self::owned_by(Kind::Session, session)
    }

    pub(crate) fn subscription(session: SessionKey, filter: &str) -> Self {
        Self::owned_by(Kind::Subscription, session).push(&digest(filter))
    }

    /// The `number`-th page of a queue.
    pub(crate) fn page(session: SessionKey, number: u64) -> Self {
        Self::owned_by(Kind::Queue, session).push(&number.to_be_bytes())
    }

    pub(crate) fn received(session: SessionKey, packet_id: PacketId) -> Self {
        Self::owned_by(Kind::Received, session).push(&packet_id.get().to_be_bytes())
    }

    pub(crate) fn retained(topic: &str) -> Self {
        Self::of_kind(Kind::Retained).push(&digest(topic))
    }

    /// What the owner of `space` keeps under `key`.
    pub(crate) fn kept(space: &str, key: &str) -> Self {
        // A space has no such character, so no two pairs are the same text.
        Self::of_kind(Kind::Kept).push(&digest(&format!("{space}\0{key}")))
    }

    /// The prefix of everything of `kind` that belongs to `session`.
    pub(crate) fn owned_by(kind: Kind, session: SessionKey) -> Self {
        Self::of_kind(kind).push(&session.0.to_be_bytes())
    }

    /// Where a damaged record is kept.
    pub(crate) fn quarantined(self) -> Self {
        Self::of_kind(Kind::Quarantine).push(self.as_bytes())
    }

    /// The key of the record's `index`-th piece; the first piece lies at the key itself.
    pub(crate) fn fragment(self, index: u32) -> Self {
        if index == 0 { self } else { self.push(&index.to_be_bytes()) }
    }

    /// Reads a key that an engine gave back; `None` when it is not one of ours.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, Place)> {
        let (&tag, _) = bytes.split_first()?;
        let kind = Kind::of(tag)?;
        let key = Self::from_slice(bytes)?;
        if kind == Kind::Quarantine {
            return Some((key, Place { kind, base: key }));
        }
        let (base, fragment) = bytes.split_at_checked(kind.base_len())?;
        if !matches!(fragment.len(), 0 | FRAGMENT) {
            return None;
        }
        Some((key, Place { kind, base: Self::from_slice(base)? }))
    }

    /// Whose record it is, of those that have an owner.
    pub(crate) fn owner(&self) -> Option<SessionKey> {
        self.field(1).map(|bytes| SessionKey(u32::from_be_bytes(bytes)))
    }

    pub(crate) fn kind(&self) -> Option<Kind> {
        self.as_bytes().first().and_then(|tag| Kind::of(*tag))
    }

    pub(crate) fn starts_with(&self, prefix: &Self) -> bool {
        self.as_bytes().starts_with(prefix.as_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The numbers that follow the kind, `N` bytes from offset `at`.
    pub(crate) fn field<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.as_bytes().get(at..at + N)?.try_into().ok()
    }

    /// The prefix of everything of `kind`.
    pub(crate) fn of_kind(kind: Kind) -> Self {
        Self { len: 0, bytes: [0; Self::MAX] }.push(&[kind as u8])
    }

    fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Self::MAX).then(|| Self { len: 0, bytes: [0; Self::MAX] }.push(bytes))
    }

    /// Callers push no more than fits: see the relation asserted below.
    fn push(mut self, more: &[u8]) -> Self {
        for &byte in more {
            if let Some(slot) = self.bytes.get_mut(usize::from(self.len)) {
                *slot = byte;
                self.len += 1;
            }
        }
        self
    }
}

const _: () = assert!(1 + Kind::Subscription.base_len() + FRAGMENT <= Key::MAX);

/// What a key says about its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    /// The key of the record's first piece.
    pub(crate) base: Key,
}

fn digest(text: &str) -> [u8; DIGEST] {
    let full = Sha256::digest(text.as_bytes());
    let mut short = [0; DIGEST];
    for (to, from) in short.iter_mut().zip(full) {
        *to = from;
    }
    short
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hexadecimal.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_parses_to_its_own_place() {
        let session = SessionKey(7);
        let keys = [
            (Key::meta(b'f'), Kind::Meta),
            (Key::session(session), Kind::Session),
            (Key::subscription(session, "a/+"), Kind::Subscription),
            (Key::page(session, 11), Kind::Queue),
            (Key::received(session, PacketId::new(13).unwrap()), Kind::Received),
            (Key::retained("a/b"), Kind::Retained),
            (Key::kept("jwt", "a"), Kind::Kept),
        ];
        for (key, kind) in keys {
            for index in [0, 1, u32::MAX] {
                let (parsed, place) = Key::parse(key.fragment(index).as_bytes()).unwrap();
                assert_eq!(parsed, key.fragment(index));
                assert_eq!((place.kind, place.base), (kind, key));
            }
            let kept = key.fragment(1).quarantined();
            assert_eq!(Key::parse(kept.as_bytes()).unwrap().1.kind, Kind::Quarantine);
        }
    }

    #[test]
    fn foreign_keys_are_refused() {
        for bytes in [&[][..], &[0x11, 1], &[0x10, 1], &[0x30; 10], &[0xF0; 32]] {
            assert!(Key::parse(bytes).is_none(), "{bytes:?}");
        }
    }
}
