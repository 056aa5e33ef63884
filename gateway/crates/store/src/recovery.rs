//! From stored bytes to a snapshot that fits together.
//!
//! Nothing is believed: a record counts when its checksum and content are right and
//! when what it belongs to is there as well. Counts of references are not stored, so
//! they cannot be wrong. Whatever subset of the records survived, the result is a
//! state that the broker can start from.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use broker::Message;
use broker::durable::{MessageKey, SessionKey, Snapshot, StoredSession};
use mqtt::PacketId;

use crate::{
    Damage, Dropped, Loaded, Quarantined, StoreError,
    engine::Writes,
    key::{Key, Kind, Place},
    plan::{Index, meta},
    record,
};

/// Pieces of damaged records that are kept; what is damaged beyond that is deleted.
const QUARANTINE_PIECES: u64 = 1024;
/// Skipped when the high-water mark of message numbers was itself damaged.
const LOST_MESSAGE_NUMBERS: u64 = 1 << 40;
/// Skipped when the high-water mark of session numbers was itself damaged.
const LOST_SESSION_NUMBERS: u32 = 1 << 20;

/// Takes a store's entries in key order, then gives the state they add up to.
#[derive(Default)]
pub(crate) struct Recovery {
    /// The pieces of the record being read; all have the same base key.
    group: Vec<(Key, Vec<u8>)>,
    group_place: Option<Place>,
    sessions: BTreeMap<SessionKey, StoredSession>,
    messages: BTreeMap<MessageKey, Arc<Message>>,
    retained: BTreeMap<mqtt::TopicNameBuf, Arc<Message>>,
    format: Option<u64>,
    next_message: Option<u64>,
    next_session: Option<u64>,
    commits: Option<u64>,
    /// As stored, and as found.
    entries: Option<u64>,
    found: u64,
    meta_damaged: bool,
    live_bytes: u64,
    long: BTreeMap<Key, u32>,
    repairs: Writes,
    loaded: Loaded,
}

/// A recovered state and what else the store needs.
pub(crate) struct Recovered {
    pub(crate) loaded: Loaded,
    pub(crate) index: Index,
    /// Removes what was dropped, moves what was damaged.
    pub(crate) repairs: Writes,
    /// Whether a number about the whole store is missing or wrong.
    pub(crate) outdated_numbers: bool,
    pub(crate) live_bytes: u64,
    /// Commits that were durable and are gone.
    pub(crate) rolled_back: Option<u64>,
    /// Entries as counted by commits, and as found.
    entries: (u64, u64),
}

impl Recovered {
    /// Entries that were committed and are not there, where the count tells.
    pub(crate) fn missing(&self) -> Option<u64> {
        let (counted, found) = self.entries;
        counted.checked_sub(found).filter(|missing| *missing > 0)
    }

    /// What shows that the engine lost or spoiled something. Messages that nothing
    /// names show nothing: a broker may stop between two commits.
    pub(crate) fn damage(&self) -> Option<String> {
        let dropped = Dropped { messages: 0, ..self.loaded.dropped };
        if let Some(commits) = self.rolled_back {
            Some(format!("its last {commits} commits are missing"))
        } else if self.entries.0 != self.entries.1 {
            Some(format!("{} records were committed, {} found", self.entries.0, self.entries.1))
        } else if self.loaded.quarantined_total > 0 {
            Some(format!("{} damaged records", self.loaded.quarantined_total))
        } else if dropped != Dropped::default() {
            Some("records that belong together are missing".to_owned())
        } else {
            None
        }
    }
}

impl Recovery {
    /// Takes the next entry.
    pub(crate) fn feed(&mut self, key: &[u8], value: &[u8]) {
        self.live_bytes += (key.len() + value.len()) as u64;
        let Some((key, place)) = Key::parse(key) else {
            self.report(None, hex(key), Damage::ForeignKey);
            return;
        };
        if place.kind == Kind::Quarantine {
            self.loaded.quarantine_held += 1;
            return;
        }
        self.found += u64::from(place.kind != Kind::Meta);
        if self.group_place.is_none_or(|current| current.base != place.base) {
            self.close_group();
            self.group_place = Some(place);
        }
        self.group.push((key, value.to_vec()));
    }

    /// Ends the reading. At least `marked` commits were durable.
    pub(crate) fn finish(mut self, marked: Option<u64>) -> Result<Recovered, StoreError> {
        self.close_group();
        let supported = u64::from(record::FORMAT);
        if let Some(found) = self.format.filter(|found| *found > supported) {
            return Err(StoreError::NewerFormat { found, supported });
        }
        self.drop_deliveries_without_message();
        self.drop_unnamed_messages();
        let marked = marked.unwrap_or(0);
        let rolled_back = self.commits.and_then(|commits| marked.checked_sub(commits));
        let rolled_back = rolled_back.filter(|commits| *commits > 0);
        let entries = (self.entries.unwrap_or(self.found), self.found);
        let index = self.index(marked);
        let numbers =
            [self.format, self.commits, self.entries, self.next_message, self.next_session];
        let outdated_numbers = numbers.contains(&None)
            || self.commits != Some(index.commits)
            || self.entries != Some(index.entries);
        let mut loaded = self.loaded;
        loaded.snapshot = Snapshot {
            next_message: index.next_message,
            next_session: index.next_session,
            sessions: self.sessions.into_values().map(in_filter_order).collect(),
            messages: self.messages.into_iter().collect(),
            retained: self.retained.into_values().collect(),
        };
        Ok(Recovered {
            loaded,
            index,
            repairs: self.repairs,
            outdated_numbers,
            rolled_back,
            entries,
            live_bytes: self.live_bytes,
        })
    }

    fn close_group(&mut self) {
        let Some(place) = self.group_place.take() else { return };
        let group = std::mem::take(&mut self.group);
        match record::join(place.kind, place.base, &group) {
            Err(damage) => self.quarantine(place, group, damage),
            Ok((body, count)) => {
                let kept = usize::try_from(count).unwrap_or(usize::MAX);
                for (key, _) in group.iter().skip(kept) {
                    self.repairs.insert(*key, None);
                    self.loaded.dropped.fragments += 1;
                }
                if count > 1 {
                    self.long.insert(place.base, count);
                }
                if let Err(damage) = self.take(place, &body) {
                    self.long.remove(&place.base);
                    self.quarantine(place, group, damage);
                }
            }
        }
    }

    /// Takes one record. Sessions come before what belongs to them.
    fn take(&mut self, place: Place, body: &[u8]) -> Result<(), Damage> {
        let key = place.base;
        match place.kind {
            Kind::Meta => self.take_meta(key, body)?,
            Kind::Session => {
                let (session, record) = (owner(key)?, record::decode_session(body)?);
                let stored = StoredSession {
                    key: session,
                    record,
                    subscriptions: Vec::new(),
                    deliveries: Vec::new(),
                    received: Vec::new(),
                };
                self.sessions.insert(session, stored);
            }
            Kind::Subscription => {
                let subscription = record::decode_subscription(body)?;
                match self.sessions.get_mut(&owner(key)?) {
                    Some(session) => session.subscriptions.push(subscription),
                    None => {
                        self.loaded.dropped.subscriptions += 1;
                        self.forget(key);
                    }
                }
            }
            Kind::Message => {
                let number = key.field(1).map(u64::from_be_bytes).ok_or(Damage::ForeignKey)?;
                self.messages.insert(MessageKey(number), Arc::new(record::decode_message(body)?));
            }
            Kind::Delivery => {
                let delivery = record::decode_delivery(body)?;
                let sequence = key.field(5).map(u64::from_be_bytes).ok_or(Damage::ForeignKey)?;
                match self.sessions.get_mut(&owner(key)?) {
                    Some(session) => session.deliveries.push((sequence, delivery)),
                    None => {
                        self.loaded.dropped.deliveries_without_session += 1;
                        self.forget(key);
                    }
                }
            }
            Kind::Received => {
                let packet_id = key.field(5).map(u16::from_be_bytes).and_then(PacketId::new);
                let packet_id = packet_id.ok_or(Damage::Invalid("packet identifier"))?;
                match self.sessions.get_mut(&owner(key)?) {
                    Some(session) => session.received.push(packet_id),
                    None => {
                        self.loaded.dropped.received += 1;
                        self.forget(key);
                    }
                }
            }
            Kind::Retained => {
                let message = record::decode_message(body)?;
                self.retained.insert(message.topic.clone(), Arc::new(message));
            }
            Kind::Quarantine => {}
        }
        Ok(())
    }

    fn take_meta(&mut self, key: Key, body: &[u8]) -> Result<(), Damage> {
        let value = record::decode_number(body)?;
        match key.field(1) {
            Some([meta::COMMITS]) => self.commits = Some(value),
            Some([meta::ENTRIES]) => self.entries = Some(value),
            Some([meta::FORMAT]) => self.format = Some(value),
            Some([meta::NEXT_MESSAGE]) => self.next_message = Some(value),
            Some([meta::NEXT_SESSION]) => self.next_session = Some(value),
            _ => return Err(Damage::ForeignKey),
        }
        Ok(())
    }

    /// Drops queue entries whose message is gone. One that only owes a PUBREL needs
    /// no message.
    fn drop_deliveries_without_message(&mut self) {
        let (messages, repairs) = (&self.messages, &mut self.repairs);
        let mut dropped = 0;
        for session in self.sessions.values_mut() {
            let owner = session.key;
            session.deliveries.retain(|(sequence, delivery)| {
                let keep = delivery.released || messages.contains_key(&delivery.message);
                if !keep {
                    repairs.insert(Key::delivery(owner, *sequence), None);
                    dropped += 1;
                }
                keep
            });
        }
        self.loaded.dropped.deliveries_without_message = dropped;
    }

    fn drop_unnamed_messages(&mut self) {
        let named: BTreeSet<MessageKey> = self
            .sessions
            .values()
            .flat_map(|session| session.deliveries.iter().map(|(_, delivery)| delivery.message))
            .collect();
        let unnamed: Vec<MessageKey> =
            self.messages.keys().filter(|key| !named.contains(key)).copied().collect();
        for message in unnamed {
            self.messages.remove(&message);
            self.loaded.dropped.messages += 1;
            self.forget(Key::message(message));
        }
    }

    fn index(&mut self, marked: u64) -> Index {
        let removed = self.repairs.iter().filter(|(key, value)| {
            value.is_none() && !matches!(key.kind(), Some(Kind::Meta | Kind::Quarantine))
        });
        let removed = removed.count() as u64;
        let (message_skip, session_skip) =
            if self.meta_damaged { (LOST_MESSAGE_NUMBERS, LOST_SESSION_NUMBERS) } else { (0, 0) };
        let seen_message = self.messages.last_key_value().map_or(0, |(key, _)| key.0 + 1);
        let seen_session = self.sessions.last_key_value().map_or(0, |(key, _)| key.0 + 1);
        let stored_session = self.next_session.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        Index {
            long: std::mem::take(&mut self.long),
            next_message: self
                .next_message
                .unwrap_or(seen_message.saturating_add(message_skip))
                .max(seen_message),
            next_session: stored_session
                .unwrap_or(seen_session.saturating_add(session_skip))
                .max(seen_session),
            commits: self.commits.unwrap_or(0).max(marked),
            entries: self.found.saturating_sub(removed),
        }
    }

    /// Removes an intact record from the store.
    fn forget(&mut self, base: Key) {
        let count = self.long.remove(&base).unwrap_or(1);
        for index in 0..count {
            self.repairs.insert(base.fragment(index), None);
        }
    }

    fn quarantine(&mut self, place: Place, group: Vec<(Key, Vec<u8>)>, damage: Damage) {
        self.meta_damaged |= place.kind == Kind::Meta;
        self.report(Some(place.kind), place.base.to_string(), damage);
        for (key, value) in group {
            self.repairs.insert(key, None);
            if self.loaded.quarantine_held < QUARANTINE_PIECES {
                self.loaded.quarantine_held += 1;
                self.repairs.insert(key.quarantined(), Some(value));
            }
        }
    }

    fn report(&mut self, kind: Option<Kind>, key: String, damage: Damage) {
        self.loaded.quarantined_total += 1;
        if self.loaded.quarantined.len() < Loaded::MAX_REPORTED {
            self.loaded.quarantined.push(Quarantined { kind, key, damage });
        }
    }
}

fn owner(key: Key) -> Result<SessionKey, Damage> {
    key.field(1).map(|bytes| SessionKey(u32::from_be_bytes(bytes))).ok_or(Damage::ForeignKey)
}

/// Subscriptions lie in the order of their digests.
fn in_filter_order(mut session: StoredSession) -> StoredSession {
    session.subscriptions.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    session
}

/// The first bytes of a key, in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect()
}
