//! What is kept, in memory.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use super::body;
use crate::{
    Damage, StoreError,
    engine::{Engine, Writes},
    key::{Key, Kind},
    record::{Assembled, Assembler, FORMAT},
};

/// All spaces, by name.
#[derive(Debug, Default)]
pub(super) struct Spaces(HashMap<String, Space>);

#[derive(Debug, Default)]
struct Space {
    values: BTreeMap<String, Arc<[u8]>>,
    /// Of keys and values.
    bytes: usize,
}

impl Spaces {
    pub(super) fn get(&self, space: &str, key: &str) -> Option<&Arc<[u8]>> {
        self.0.get(space)?.values.get(key)
    }

    /// Keys, and bytes of them and their values.
    pub(super) fn usage(&self, space: &str) -> (usize, usize) {
        self.0.get(space).map_or((0, 0), |space| (space.values.len(), space.bytes))
    }

    /// The same of all spaces together.
    pub(super) fn total(&self) -> (u64, u64) {
        let sum = |of: fn(&Space) -> usize| self.0.values().map(|space| of(space) as u64).sum();
        (sum(|space| space.values.len()), sum(|space| space.bytes))
    }

    pub(super) fn keys(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<String>, bool) {
        let Some(space) = self.0.get(space) else { return (Vec::new(), false) };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let keys = space.values.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key);
        let mut keys = keys.take_while(|key| key.starts_with(prefix));
        let page: Vec<String> = keys.by_ref().take(limit).cloned().collect();
        (page, keys.next().is_some())
    }

    /// Puts a value there, or nothing.
    pub(super) fn put(&mut self, space: &str, key: &str, value: Option<Arc<[u8]>>) {
        let space = self.0.entry(space.to_owned()).or_default();
        let bytes = value.as_ref().map(|value| key.len() + value.len());
        let before = match value {
            Some(value) => space.values.insert(key.to_owned(), value),
            None => space.values.remove(key),
        };
        let freed = before.map_or(0, |before| key.len() + before.len());
        space.bytes = space.bytes + bytes.unwrap_or(0) - freed;
    }
}

/// What was read.
pub(super) struct Read {
    pub(super) spaces: Spaces,
    pub(super) damaged: u64,
}

/// Reads everything, and sets aside what cannot be read.
pub(super) fn load(engine: &mut dyn Engine) -> Result<Read, StoreError> {
    let (read, aside) = match scan(engine) {
        Err(StoreError::Damaged { detail, .. }) => {
            engine.salvage(&detail)?;
            scan(engine)?
        }
        read => read?,
    };
    if !aside.is_empty() {
        engine.apply(&aside)?;
    }
    Ok(read)
}

fn scan(engine: &mut dyn Engine) -> Result<(Read, Writes), StoreError> {
    let mut read = Read { spaces: Spaces::default(), damaged: 0 };
    let (mut aside, mut newer) = (Writes::new(), None);
    let mut take = |record: Option<Assembled>| {
        let Some(Assembled { place, pieces, body }) = record else { return };
        let taken = match (place.kind, &body) {
            (Kind::Meta, _) => Ok(()),
            (Kind::Kept, Ok((body, _))) => body::decode(body)
                .map(|(space, key, value)| read.spaces.put(space, key, Some(value.into()))),
            (_, Ok(_)) => Err(Damage::ForeignKey),
            (_, Err(damage)) => Err(*damage),
        };
        match taken {
            Ok(()) => {}
            Err(Damage::Version(found)) if found > FORMAT => newer = Some(found),
            Err(_) => {
                read.damaged += 1;
                for (key, value) in pieces {
                    aside.insert(key, None);
                    aside.insert(key.quarantined(), Some(value));
                }
            }
        }
    };
    let mut assembler = Assembler::new(FORMAT);
    engine.scan(&mut |key, value| {
        // What is set aside, and what is no key of ours, stays where it is.
        if let Some((key, place)) = Key::parse(key).filter(|(_, p)| p.kind != Kind::Quarantine) {
            take(assembler.feed(key, place, value));
        }
    })?;
    take(assembler.finish());
    match newer {
        Some(found) => {
            let (found, supported) = (u64::from(found), u64::from(FORMAT));
            Err(StoreError::NewerFormat { found, supported })
        }
        None => Ok((read, aside)),
    }
}
