use std::collections::{BTreeMap, BTreeSet};

use broker::durable::SessionKey;

use crate::key::{Key, Kind};

/// Kinds of records that are a session's own, but for its queue.
pub(crate) const OWNED: [Kind; 3] = [Kind::Session, Kind::Subscription, Kind::Received];

/// Records that are no part of a queue and differ from what the engine has.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    records: BTreeMap<Key, Option<Vec<u8>>>,
    /// Sessions of which nothing that the engine has counts.
    ended: BTreeSet<SessionKey>,
    bytes: usize,
}

/// What a record costs in memory besides its body.
const OVERHEAD: usize = 96;

impl Changed {
    pub(crate) fn set(&mut self, key: Key, body: Option<Vec<u8>>) {
        self.bytes += cost(body.as_ref());
        if let Some(before) = self.records.insert(key, body) {
            self.bytes -= cost(before.as_ref());
        }
    }

    /// What is known of a record; `None`, if only the engine can tell.
    pub(crate) fn get(&self, key: &Key) -> Option<Option<&[u8]>> {
        if let Some(body) = self.records.get(key) {
            return Some(body.as_deref());
        }
        let owned = key.kind().is_some_and(|kind| OWNED.contains(&kind));
        let ended = owned && key.owner().is_some_and(|owner| self.ended.contains(&owner));
        ended.then_some(None)
    }

    /// Removes all records of a session, those that the engine has included.
    pub(crate) fn end(&mut self, session: SessionKey) {
        for kind in OWNED {
            for key in self.of(kind, session) {
                if let Some(body) = self.records.remove(&key) {
                    self.bytes -= cost(body.as_ref());
                }
            }
        }
        self.bytes += usize::from(self.ended.insert(session)) * OVERHEAD;
    }

    /// Whether a session has any record here.
    pub(crate) fn has_any(&self, session: SessionKey) -> bool {
        OWNED.into_iter().any(|kind| {
            let mut keys = self.of(kind, session).into_iter();
            keys.any(|key| matches!(self.records.get(&key), Some(Some(_))))
        })
    }

    fn of(&self, kind: Kind, session: SessionKey) -> Vec<Key> {
        let prefix = Key::owned_by(kind, session);
        let from_here = self.records.range(prefix..).map(|(key, _)| *key);
        from_here.take_while(|key| key.starts_with(&prefix)).collect()
    }

    pub(crate) fn is_ended(&self, session: SessionKey) -> bool {
        self.ended.contains(&session)
    }

    pub(crate) fn ended(&self) -> impl Iterator<Item = SessionKey> {
        self.ended.iter().copied()
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = (Key, Option<&[u8]>)> {
        self.records.iter().map(|(key, body)| (*key, body.as_deref()))
    }

    /// Bytes of memory that it takes, near enough.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The engine has it all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn cost(body: Option<&Vec<u8>>) -> usize {
    OVERHEAD + body.map_or(0, Vec::len)
}
