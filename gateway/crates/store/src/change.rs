//! What a group changes besides the messages in it, as bytes of the log.
//!
//! Changes say what is to be, not what is to be done: applied once more, or to a state that
//! already has some of them, they give the same in the end.

use broker::durable::SessionKey;

use crate::{
    Damage,
    key::{Key, Kind},
    log::{Position, Slot},
    queue::{Entry, SPARE, Trail},
    varint::{self, Reader},
};

/// Kind of a log record that is a message.
pub(crate) const MESSAGE: u8 = 1;
/// Kind of a log record that holds the changes of its group.
pub(crate) const CHANGES: u8 = 2;

/// One change of the durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Puts or removes a record that is no part of a queue.
    Record { key: Key, body: Option<Vec<u8>> },
    /// Removes a session with all that it has.
    EndSession { session: SessionKey },
    /// Puts an entry of a queue.
    Put { session: SessionKey, sequence: u64, entry: Entry, message: Option<Reference> },
    /// Only PUBREL is owed of an entry, if it is there.
    Release { session: SessionKey, sequence: u64 },
    /// Removes an entry, if it is there.
    Remove { session: SessionKey, sequence: u64 },
    /// An entry's message lies elsewhere now, or is lost.
    Move { session: SessionKey, sequence: u64, message: Option<Reference>, sharers: u16 },
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// In the group itself.
    Here(Slot),
    /// In an earlier one.
    At(Position),
}

impl Reference {
    /// The message's position, when the group's first record is at `base`.
    pub(crate) const fn resolve(self, base: Position) -> Position {
        match self {
            Self::Here(slot) => base.at(slot),
            Self::At(position) => position,
        }
    }
}

const RECORD: u8 = 1;
const NO_RECORD: u8 = 2;
const END_SESSION: u8 = 3;
const PUT: u8 = 4;
const RELEASE: u8 = 5;
const REMOVE: u8 = 6;
const MOVE: u8 = 7;
const MOVE_LOST: u8 = 8;

/// What the change before said: most differ little from it.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    session: u64,
    sequence: u64,
    slot: u64,
    trail: Trail,
}

/// Appends `changes` to `out`.
pub(crate) fn encode(changes: &[Change], out: &mut Vec<u8>) {
    let mut last = Last::default();
    for change in changes {
        match change {
            Change::Record { key, body } => {
                out.push(if body.is_some() { RECORD } else { NO_RECORD });
                push_sized(out, key.as_bytes());
                if let Some(body) = body {
                    push_sized(out, body);
                }
            }
            Change::EndSession { session } => {
                out.push(END_SESSION);
                varint::push(out, u64::from(session.0));
            }
            Change::Put { session, sequence, entry, message } => {
                last.place(PUT, *session, *sequence, out);
                let here = matches!(message, Some(Reference::Here(_)));
                out.push(entry.flags(message.is_some()) | if here { SPARE } else { 0 });
                if let Some(message) = message {
                    last.reference(*message, out);
                }
                entry.encode_rest(&mut last.trail, out);
            }
            Change::Release { session, sequence } => {
                last.place(RELEASE, *session, *sequence, out);
            }
            Change::Remove { session, sequence } => last.place(REMOVE, *session, *sequence, out),
            Change::Move { session, sequence, message: None, .. } => {
                last.place(MOVE_LOST, *session, *sequence, out);
            }
            Change::Move { session, sequence, message: Some(message), sharers } => {
                last.place(MOVE, *session, *sequence, out);
                out.push(u8::from(matches!(message, Reference::Here(_))));
                last.reference(*message, out);
                varint::push(out, u64::from(*sharers));
            }
        }
    }
}

fn push_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::push(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

impl Last {
    fn place(&mut self, tag: u8, session: SessionKey, sequence: u64, out: &mut Vec<u8>) {
        out.push(tag);
        let session = u64::from(session.0);
        varint::push_signed(out, varint::distance(self.session, session));
        varint::push_signed(out, varint::distance(self.sequence, sequence));
        (self.session, self.sequence) = (session, sequence);
    }

    fn reference(&mut self, message: Reference, out: &mut Vec<u8>) {
        match message {
            Reference::Here(slot) => {
                let slot = u64::from(slot.bytes());
                varint::push_signed(out, varint::distance(self.slot, slot));
                self.slot = slot;
            }
            Reference::At(position) => self.trail.push(position, out),
        }
    }
}

/// Reads what [`encode`] wrote, from a group whose first record is at `base`.
pub(crate) struct Changes<'a> {
    reader: Reader<'a>,
    base: Position,
    last: Last,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(bytes: &'a [u8], base: Position) -> Self {
        Self { reader: Reader(bytes), base, last: Last::default() }
    }

    fn change(&mut self) -> Result<Change, Damage> {
        match self.reader.byte()? {
            tag @ (RECORD | NO_RECORD) => {
                let key = record_key(self.reader.sized()?)?;
                let body = (tag == RECORD).then(|| self.reader.sized()).transpose()?;
                Ok(Change::Record { key, body: body.map(<[u8]>::to_vec) })
            }
            END_SESSION => Ok(Change::EndSession { session: SessionKey(self.reader.u32()?) }),
            PUT => self.put(),
            RELEASE => {
                self.place().map(|(session, sequence)| Change::Release { session, sequence })
            }
            REMOVE => self.place().map(|(session, sequence)| Change::Remove { session, sequence }),
            MOVE_LOST => {
                let (session, sequence) = self.place()?;
                Ok(Change::Move { session, sequence, message: None, sharers: 0 })
            }
            MOVE => {
                let (session, sequence) = self.place()?;
                let here = match self.reader.byte()? {
                    0 => false,
                    1 => true,
                    _ => return Err(Damage::Invalid("change")),
                };
                let position = self.reference(here)?;
                let sharers = u16::try_from(self.reader.number()?);
                let sharers = sharers.map_err(|_| Damage::Invalid("change"))?;
                let message = Some(Reference::At(position));
                Ok(Change::Move { session, sequence, message, sharers })
            }
            _ => Err(Damage::Invalid("change")),
        }
    }

    fn put(&mut self) -> Result<Change, Damage> {
        let (session, sequence) = self.place()?;
        let flags = self.reader.byte()?;
        let (base, last) = (self.base, &mut self.last);
        let slot = &mut last.slot;
        let entry = Entry::decode(flags, &mut self.reader, &mut last.trail, |reader, trail| {
            if flags & SPARE == 0 { trail.read(reader) } else { here(reader, slot, base) }
        })?;
        let message = entry.message.map(Reference::At);
        Ok(Change::Put { session, sequence, entry, message })
    }

    fn place(&mut self) -> Result<(SessionKey, u64), Damage> {
        let last = &mut self.last;
        last.session = varint::moved(last.session, self.reader.signed()?);
        last.sequence = varint::moved(last.sequence, self.reader.signed()?);
        let session = u32::try_from(last.session).map_err(|_| Damage::Invalid("session"))?;
        Ok((SessionKey(session), last.sequence))
    }

    fn reference(&mut self, is_here: bool) -> Result<Position, Damage> {
        if is_here {
            here(&mut self.reader, &mut self.last.slot, self.base)
        } else {
            self.last.trail.read(&mut self.reader)
        }
    }
}

fn here(reader: &mut Reader<'_>, slot: &mut u64, base: Position) -> Result<Position, Damage> {
    *slot = varint::moved(*slot, reader.signed()?);
    let bytes = u32::try_from(*slot).map_err(|_| Damage::Invalid("position"))?;
    Ok(base.at(Slot::new(bytes)))
}

/// A key that a change may name.
fn record_key(bytes: &[u8]) -> Result<Key, Damage> {
    let (key, place) = Key::parse(bytes).ok_or(Damage::ForeignKey)?;
    let allowed =
        matches!(place.kind, Kind::Session | Kind::Subscription | Kind::Received | Kind::Retained);
    (allowed && place.base == key).then_some(key).ok_or(Damage::ForeignKey)
}

impl Iterator for Changes<'_> {
    type Item = Result<Change, Damage>;

    /// The next change; after one that is damaged there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let change = self.change();
        if change.is_err() {
            self.reader = Reader(&[]);
        }
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use mqtt::QoS;
    use proptest::prelude::*;

    use super::*;

    const BASE: Position = Position { segment: 3, offset: 700 };

    fn any_reference() -> impl Strategy<Value = Option<Reference>> {
        prop::option::of(prop_oneof![
            (0..1_u32 << 30).prop_map(|slot| Reference::Here(Slot::new(slot))),
            any::<(u32, u32)>()
                .prop_map(|(segment, offset)| { Reference::At(Position { segment, offset }) }),
        ])
    }

    fn any_change() -> impl Strategy<Value = Change> {
        let place = || (any::<u32>().prop_map(SessionKey), any::<u64>());
        prop_oneof![
            any::<Option<Vec<u8>>>()
                .prop_map(|body| Change::Record { key: Key::retained("t"), body }),
            any::<u32>().prop_map(|session| Change::EndSession { session: SessionKey(session) }),
            place().prop_map(|(session, sequence)| Change::Release { session, sequence }),
            place().prop_map(|(session, sequence)| Change::Remove { session, sequence }),
            (place(), any_reference(), 1_u16..).prop_map(|((session, sequence), message, n)| {
                let sharers = if message.is_some() { n } else { 0 };
                Change::Move { session, sequence, message, sharers }
            }),
            (place(), any_reference(), any::<(u32, u16, bool)>()).prop_map(
                |(place, message, rest)| {
                    let ((session, sequence), (weight, sharers, shared)) = (place, rest);
                    let entry = Entry {
                        qos: QoS::AtLeastOnce,
                        retain: false,
                        released: false,
                        shared,
                        ids: Box::default(),
                        message: None,
                        weight,
                        sharers,
                        expires: None,
                    };
                    Change::Put { session, sequence, entry, message }
                }
            ),
        ]
    }

    /// With every message's position resolved.
    fn resolved(mut change: Change) -> Change {
        match &mut change {
            Change::Put { entry, message, .. } => {
                entry.message = message.map(|message| message.resolve(BASE));
                *message = entry.message.map(Reference::At);
            }
            Change::Move { message: Some(message), .. } => {
                *message = Reference::At(message.resolve(BASE));
            }
            _ => {}
        }
        change
    }

    proptest! {
        #[test]
        fn changes_come_back(changes in prop::collection::vec(any_change(), 0..20)) {
            let mut out = Vec::new();
            encode(&changes, &mut out);
            let back: Result<Vec<_>, _> = Changes::new(&out, BASE).collect();
            prop_assert_eq!(back, Ok(changes.into_iter().map(resolved).collect()));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _: Vec<_> = Changes::new(&bytes, BASE).collect();
        }
    }
}
