//! From ops to the fewest writes that have the same effect.

use std::collections::BTreeMap;

use broker::durable::{Op, SessionKey};

use crate::{
    CommitStats, StoreError,
    engine::{Engine, Writes},
    key::{Key, Kind},
    record,
};

/// Message numbers reserved by one write of the high-water mark.
const MESSAGE_RESERVE: u64 = 1 << 16;

/// What is remembered of the stored records, to plan changes without reading them.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// How many pieces each long record has; absent means one.
    pub(crate) long: BTreeMap<Key, u32>,
    /// Stored high-water mark: above the number of every message ever stored.
    pub(crate) next_message: u64,
    /// Stored high-water mark: above the number of every session ever stored.
    pub(crate) next_session: u32,
    /// Commits made so far.
    pub(crate) commits: u64,
    /// Entries in the engine, but for numbers and the quarantine.
    pub(crate) entries: u64,
}

impl Index {
    /// Takes over what a commit changed, once that is durable.
    pub(crate) fn absorb(&mut self, changes: Changes) {
        self.next_message = changes.next_message;
        self.next_session = changes.next_session;
        self.commits = changes.commits;
        self.entries = changes.entries;
        for (key, count) in changes.long {
            if count > 1 {
                self.long.insert(key, count);
            } else {
                self.long.remove(&key);
            }
        }
    }
}

/// What a commit changes of the [`Index`].
pub(crate) struct Changes {
    long: BTreeMap<Key, u32>,
    next_message: u64,
    next_session: u32,
    commits: u64,
    entries: u64,
}

/// Names of the numbers about the whole store.
pub(crate) mod meta {
    pub(crate) const COMMITS: u8 = b'c';
    pub(crate) const ENTRIES: u8 = b'n';
    pub(crate) const FORMAT: u8 = b'f';
    pub(crate) const NEXT_MESSAGE: u8 = b'm';
    pub(crate) const NEXT_SESSION: u8 = b's';
}

/// Puts a number about the whole store.
pub(crate) fn put_number(writes: &mut Writes, name: u8, value: u64) {
    let body = record::encode_number(value);
    record::split(Kind::Meta, Key::meta(name), &body, |key, value| {
        writes.insert(key, Some(value));
    });
}

/// The writes of one commit.
pub(crate) struct Plan<'a> {
    engine: &'a mut dyn Engine,
    index: &'a Index,
    pub(crate) writes: Writes,
    pub(crate) changes: Changes,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(engine: &'a mut dyn Engine, index: &'a Index) -> Self {
        let Index { next_message, next_session, commits, entries, .. } = *index;
        let long = BTreeMap::new();
        let changes = Changes { long, next_message, next_session, commits, entries };
        Self { engine, index, writes: Writes::new(), changes }
    }

    /// Adds one op. Later ops on the same record replace earlier ones.
    pub(crate) fn add(&mut self, op: &Op) -> Result<(), StoreError> {
        match op {
            Op::PutSession { session, record } => {
                self.reserve_session(*session);
                self.put(Kind::Session, Key::session(*session), &record::encode_session(record))
            }
            Op::RemoveSession { session } => self.remove_session(*session),
            Op::PutSubscription { session, filter, subscription } => {
                let filter = filter.as_str();
                let body = record::encode_subscription(filter, *subscription);
                self.put(Kind::Subscription, Key::subscription(*session, filter), &body)
            }
            Op::RemoveSubscription { session, filter } => {
                self.remove(Key::subscription(*session, filter.as_str()))
            }
            Op::PutMessage { message, body } => {
                self.reserve_message(message.0);
                self.put(Kind::Message, Key::message(*message), &record::encode_message(body))
            }
            Op::RemoveMessage { message } => self.remove(Key::message(*message)),
            Op::PutDelivery { session, sequence, delivery } => {
                let key = Key::delivery(*session, *sequence);
                self.put(Kind::Delivery, key, &record::encode_delivery(delivery))
            }
            Op::RemoveDelivery { session, sequence } => {
                self.remove(Key::delivery(*session, *sequence))
            }
            Op::PutReceived { session, packet_id } => {
                self.put(Kind::Received, Key::received(*session, *packet_id), &[])
            }
            Op::RemoveReceived { session, packet_id } => {
                self.remove(Key::received(*session, *packet_id))
            }
            Op::PutRetained { body } => {
                let key = Key::retained(body.topic.as_str());
                self.put(Kind::Retained, key, &record::encode_message(body))
            }
            Op::RemoveRetained { topic } => self.remove(Key::retained(topic.as_str())),
        }
    }

    /// Ends the plan: a commit that writes anything also writes which it is and how many
    /// entries there are then, so that an engine which loses some is found out.
    pub(crate) fn count(&mut self) -> Result<(), StoreError> {
        if self.writes.is_empty() {
            return Ok(());
        }
        for (key, value) in &self.writes {
            if key.kind() == Some(Kind::Meta) {
                continue;
            }
            let entries = &mut self.changes.entries;
            match (self.engine.contains(key)?, value) {
                (false, Some(_)) => *entries += 1,
                (true, None) => *entries = entries.saturating_sub(1),
                _ => {}
            }
        }
        self.changes.commits += 1;
        put_number(&mut self.writes, meta::COMMITS, self.changes.commits);
        put_number(&mut self.writes, meta::ENTRIES, self.changes.entries);
        Ok(())
    }

    pub(crate) fn stats(&self) -> CommitStats {
        let mut stats = CommitStats::default();
        for (key, value) in &self.writes {
            match value {
                Some(value) => {
                    stats.records_written += 1;
                    stats.bytes += value.len() as u64;
                }
                None => stats.records_removed += 1,
            }
            stats.bytes += key.as_bytes().len() as u64;
        }
        stats
    }

    fn put(&mut self, kind: Kind, base: Key, body: &[u8]) -> Result<(), StoreError> {
        let before = self.pieces(base);
        let writes = &mut self.writes;
        let count = record::split(kind, base, body, |key, value| {
            writes.insert(key, Some(value));
        });
        for index in count..before {
            self.erase(base.fragment(index))?;
        }
        self.note_pieces(base, before, count);
        Ok(())
    }

    fn remove(&mut self, base: Key) -> Result<(), StoreError> {
        let before = self.pieces(base);
        for index in 0..before {
            self.erase(base.fragment(index))?;
        }
        self.note_pieces(base, before, 1);
        Ok(())
    }

    /// Removes one stored piece. A piece that this very commit was to put, and that
    /// the engine has never seen, is simply not written: that is what spares the disk
    /// when a subscriber confirms before its message was committed.
    fn erase(&mut self, key: Key) -> Result<(), StoreError> {
        if matches!(self.writes.get(&key), Some(Some(_))) && !self.engine.contains(&key)? {
            self.writes.remove(&key);
        } else {
            self.writes.insert(key, None);
        }
        Ok(())
    }

    fn remove_session(&mut self, session: SessionKey) -> Result<(), StoreError> {
        self.remove(Key::session(session))?;
        for kind in [Kind::Subscription, Kind::Delivery, Kind::Received] {
            let prefix = Key::owned_by(kind, session);
            let mut doomed = self.engine.keys(&prefix)?;
            let from_here = self.writes.range(prefix..).map(|(key, _)| *key);
            doomed.extend(from_here.take_while(|key| key.starts_with(&prefix)));
            for key in doomed {
                self.erase(key)?;
                self.note_pieces(key, self.pieces(key), 1);
            }
        }
        Ok(())
    }

    fn pieces(&self, base: Key) -> u32 {
        let changed = self.changes.long.get(&base);
        changed.or_else(|| self.index.long.get(&base)).copied().unwrap_or(1)
    }

    fn note_pieces(&mut self, base: Key, before: u32, now: u32) {
        if before != now {
            self.changes.long.insert(base, now);
        }
    }

    fn reserve_message(&mut self, number: u64) {
        if number >= self.changes.next_message {
            self.changes.next_message = number.saturating_add(MESSAGE_RESERVE);
            put_number(&mut self.writes, meta::NEXT_MESSAGE, self.changes.next_message);
        }
    }

    fn reserve_session(&mut self, session: SessionKey) {
        if session.0 >= self.changes.next_session {
            self.changes.next_session = session.0.saturating_add(1);
            put_number(&mut self.writes, meta::NEXT_SESSION, u64::from(self.changes.next_session));
        }
    }
}
