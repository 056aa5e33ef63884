//! The bytes of a record, independent of the engine that keeps them.
//!
//! A record's body is cut into pieces of at most [`MAX_VALUE`] bytes. A piece is
//! `format version (1) | body bytes | checksum (4)`; the checksum covers the key as
//! well, so that a value found under the wrong key is damage too. The first piece
//! of a kind that may be long starts with the number of pieces and, where there are
//! several, a checksum over the whole body.

mod assemble;
mod body;

pub(crate) use assemble::{Assembled, Assembler};

pub(crate) use body::{
    decode_message, decode_number, decode_session, decode_subscription, encode_message,
    encode_message_into, encode_number, encode_session, encode_subscription, old,
};

use crate::key::{Key, Kind};

/// Format version of the records; the first byte of every stored value.
pub(crate) const FORMAT: u8 = 2;
/// The format before, in which everything was in the engine.
pub(crate) const OLD_FORMAT: u8 = 1;

/// Longest value given to an engine, in bytes: larger ones would leave sled's log
/// for separate files that it never flushes.
pub(crate) const MAX_VALUE: usize = 4096;

/// Body bytes of one piece.
const CHUNK: usize = MAX_VALUE - FRAME - HEAD;
/// Format version and checksum.
const FRAME: usize = 1 + 4;
/// Number of pieces and checksum of the whole.
const HEAD: usize = 4 + 4;

/// Why a stored record cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Fewer bytes than the smallest record has.
    Truncated,
    /// The checksum does not match.
    Checksum,
    /// A record format that this release does not know.
    Version(u8),
    /// Pieces of the record are missing.
    Incomplete,
    /// The checksum matches and the content breaks a rule of MQTT or of the format.
    Invalid(&'static str),
    /// The key is none of ours.
    ForeignKey,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated => f.write_str("too short"),
            Self::Checksum => f.write_str("checksum does not match"),
            Self::Version(found) => {
                write!(f, "record format {found}, this release reads {FORMAT}")
            }
            Self::Incomplete => f.write_str("pieces are missing"),
            Self::Invalid(what) => write!(f, "invalid {what}"),
            Self::ForeignKey => f.write_str("key is not one of this store"),
        }
    }
}

/// Whether records of this kind may be longer than one piece.
pub(crate) const fn may_be_long(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Session
            | Kind::Subscription
            | Kind::Message
            | Kind::Queue
            | Kind::Retained
            | Kind::Kept
    )
}

/// Cuts `body` into pieces and hands each with its key to `put`; returns how many.
pub(crate) fn split(kind: Kind, base: Key, body: &[u8], mut put: impl FnMut(Key, Vec<u8>)) -> u32 {
    if !may_be_long(kind) {
        put(base, seal(base, &[body]));
        return 1;
    }
    if body.len() <= CHUNK {
        put(base, seal(base, &[&1_u32.to_be_bytes(), body]));
        return 1;
    }
    let count = u32::try_from(body.len().div_ceil(CHUNK)).unwrap_or(u32::MAX);
    let whole = crc32fast::hash(body).to_be_bytes();
    for (index, chunk) in (0..count).zip(body.chunks(CHUNK)) {
        let key = base.fragment(index);
        let value = if index == 0 {
            seal(key, &[&count.to_be_bytes(), &whole, chunk])
        } else {
            seal(key, &[chunk])
        };
        put(key, value);
    }
    count
}

/// Puts the pieces of one record together. `pieces` are in key order and begin with
/// whatever was found first. Returns the body and how many pieces belong to it;
/// pieces beyond that are left over from a longer record under the same key.
pub(crate) fn join(
    format: u8,
    kind: Kind,
    base: Key,
    pieces: &[(Key, Vec<u8>)],
) -> Result<(Vec<u8>, u32), Damage> {
    let Some((first_key, first)) = pieces.first() else { return Err(Damage::Incomplete) };
    if *first_key != base {
        return Err(Damage::Incomplete);
    }
    let content = open(format, *first_key, first)?;
    if !may_be_long(kind) {
        return Ok((content.to_vec(), 1));
    }
    let (&count, rest) = content.split_first_chunk::<4>().ok_or(Damage::Truncated)?;
    let count = u32::from_be_bytes(count);
    if count == 1 {
        return Ok((rest.to_vec(), 1));
    }
    let (&whole, chunk) = rest.split_first_chunk::<4>().ok_or(Damage::Truncated)?;
    let mut body = chunk.to_vec();
    for index in 1..count {
        let found = usize::try_from(index).ok().and_then(|at| pieces.get(at));
        match found {
            Some((key, value)) if *key == base.fragment(index) => {
                body.extend_from_slice(open(format, *key, value)?);
            }
            _ => return Err(Damage::Incomplete),
        }
    }
    if count == 0 || crc32fast::hash(&body) != u32::from_be_bytes(whole) {
        return Err(Damage::Checksum);
    }
    Ok((body, count))
}

fn seal(key: Key, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut value = Vec::with_capacity(len + FRAME);
    value.push(FORMAT);
    for part in parts {
        value.extend_from_slice(part);
    }
    let sum = checksum(key, &value);
    value.extend_from_slice(&sum.to_be_bytes());
    value
}

fn open(format: u8, key: Key, value: &[u8]) -> Result<&[u8], Damage> {
    let (sealed, &sum) = value.split_last_chunk::<4>().ok_or(Damage::Truncated)?;
    let (&version, content) = sealed.split_first().ok_or(Damage::Truncated)?;
    if checksum(key, sealed) != u32::from_be_bytes(sum) {
        return Err(Damage::Checksum);
    }
    if version != format {
        return Err(Damage::Version(version));
    }
    Ok(content)
}

fn checksum(key: Key, sealed: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(sealed);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use broker::durable::SessionKey;
    use proptest::prelude::*;

    use super::*;

    fn pieces(kind: Kind, key: Key, body: &[u8]) -> Vec<(Key, Vec<u8>)> {
        let mut out = Vec::new();
        let count = split(kind, key, body, |key, value| out.push((key, value)));
        assert_eq!(usize::try_from(count).unwrap(), out.len());
        out
    }

    #[test]
    fn bodies_of_every_length_around_a_piece_come_back() {
        let key = Key::page(SessionKey(1), 1);
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 100_000] {
            let body: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let pieces = pieces(Kind::Queue, key, &body);
            assert!(pieces.iter().all(|(_, value)| value.len() <= MAX_VALUE));
            let (joined, count) = join(FORMAT, Kind::Queue, key, &pieces).unwrap();
            assert_eq!((joined, usize::try_from(count).unwrap()), (body, pieces.len()));
        }
    }

    #[test]
    fn a_missing_or_misplaced_piece_is_damage() {
        let key = Key::page(SessionKey(1), 1);
        let all = pieces(Kind::Queue, key, &vec![7; 3 * CHUNK]);
        for gone in 0..all.len() {
            let mut some = all.clone();
            some.remove(gone);
            assert_eq!(join(FORMAT, Kind::Queue, key, &some), Err(Damage::Incomplete));
        }
        let other = Key::page(SessionKey(1), 2);
        let moved = vec![(other, all[0].1.clone())];
        assert_eq!(join(FORMAT, Kind::Queue, other, &moved), Err(Damage::Checksum));
    }

    #[test]
    fn pieces_of_two_records_do_not_mix() {
        let key = Key::page(SessionKey(1), 1);
        let mut mixed = pieces(Kind::Queue, key, &vec![7; 3 * CHUNK]);
        mixed[1] = pieces(Kind::Queue, key, &vec![8; 3 * CHUNK])[1].clone();
        assert_eq!(join(FORMAT, Kind::Queue, key, &mixed), Err(Damage::Checksum));
    }

    #[test]
    fn an_unknown_format_is_named() {
        let key = Key::meta(b'x');
        let mut value = vec![FORMAT + 1, 0];
        let sum = checksum(key, &value);
        value.extend_from_slice(&sum.to_be_bytes());
        assert_eq!(open(FORMAT, key, &value), Err(Damage::Version(FORMAT + 1)));
    }

    proptest! {
        #[test]
        fn arbitrary_values_never_panic(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..4),
        ) {
            for kind in Kind::ALL {
                let key = Key::session(broker::durable::SessionKey(1));
                let pieces: Vec<_> = (0..).zip(&values)
                    .map(|(i, value)| (key.fragment(i), value.clone()))
                    .collect();
                let _ = join(FORMAT, kind, key, &pieces);
            }
        }
    }
}
