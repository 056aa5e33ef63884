use crate::{
    Damage, StoreError,
    engine::{Engine, Writes},
    key::{Key, Kind},
    log::Position,
    record,
};

/// Numbers about the whole store, as the engine has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// Checkpoints made so far.
    pub(crate) checkpoints: u64,
    /// Entries in the engine, but for numbers and the quarantine.
    pub(crate) entries: u64,
    /// Above the number of every session ever stored.
    pub(crate) next_session: u32,
    /// Everything before this position of the log is in the engine.
    pub(crate) position: Option<Position>,
    /// Number of the log's next group then.
    pub(crate) group: u64,
}

const CHECKPOINTS: u8 = b'c';
const ENTRIES: u8 = b'n';
const FORMAT: u8 = b'f';
const GROUP: u8 = b'g';
const NEXT_SESSION: u8 = b's';
const POSITION: u8 = b'p';
/// Of format 1: above the number of every message ever stored.
const NEXT_MESSAGE: u8 = b'm';

impl Numbers {
    pub(crate) fn put(&self, writes: &mut Writes) {
        put(writes, FORMAT, u64::from(record::FORMAT));
        put(writes, CHECKPOINTS, self.checkpoints);
        put(writes, ENTRIES, self.entries);
        put(writes, NEXT_SESSION, u64::from(self.next_session));
        put(writes, GROUP, self.group);
        if let Some(Position { segment, offset }) = self.position {
            put(writes, POSITION, u64::from(segment) << 32 | u64::from(offset));
        }
    }
}

/// The number of entries that an engine says it has.
pub(crate) fn entries(engine: &mut dyn Engine) -> Result<Option<u64>, StoreError> {
    let key = Key::meta(ENTRIES);
    let Some(value) = engine.get(&key)? else { return Ok(None) };
    let body = record::join(record::FORMAT, Kind::Meta, key, &[(key, value)]);
    Ok(body.and_then(|(body, _)| record::decode_number(&body)).ok())
}

/// Where the format is said.
pub(crate) fn format_key() -> Key {
    Key::meta(FORMAT)
}

/// Keys of numbers that every store has had since format 1.
pub(crate) fn old_keys() -> [Key; 3] {
    [CHECKPOINTS, ENTRIES, NEXT_SESSION].map(Key::meta)
}

fn put(writes: &mut Writes, name: u8, value: u64) {
    let body = record::encode_number(value);
    record::split(Kind::Meta, Key::meta(name), &body, |key, value| {
        writes.insert(key, Some(value));
    });
}

/// Numbers as far as they were found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FoundNumbers {
    pub(crate) format: Option<u64>,
    pub(crate) checkpoints: Option<u64>,
    pub(crate) entries: Option<u64>,
    pub(crate) next_session: Option<u64>,
    pub(crate) position: Option<Position>,
    pub(crate) group: Option<u64>,
}

impl FoundNumbers {
    pub(crate) fn take(&mut self, key: Key, body: &[u8]) -> Result<(), Damage> {
        let value = record::decode_number(body)?;
        match key.field(1) {
            Some([FORMAT]) => self.format = Some(value),
            Some([CHECKPOINTS]) => self.checkpoints = Some(value),
            Some([ENTRIES]) => self.entries = Some(value),
            Some([GROUP]) => self.group = Some(value),
            Some([NEXT_SESSION]) => self.next_session = Some(value),
            Some([POSITION]) => {
                let [segment, offset] = [value >> 32, value & u64::from(u32::MAX)]
                    .map(|half| u32::try_from(half).unwrap_or(u32::MAX));
                self.position = Some(Position { segment, offset });
            }
            Some([NEXT_MESSAGE]) => {}
            _ => return Err(Damage::ForeignKey),
        }
        Ok(())
    }

    pub(crate) fn all_there(&self) -> bool {
        let numbers = [self.format, self.checkpoints, self.entries, self.next_session];
        numbers.iter().all(Option::is_some)
    }
}
