//! From stored bytes to a state that fits together.
//!
//! Nothing is believed: a record counts when its checksum and content are right and when what
//! it belongs to is there as well. Sums are not stored, so they cannot be wrong. Whatever
//! subset of the records survived, the result is a state that the broker can start from.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use broker::Message;
use broker::durable::{
    QueueSummary, SessionKey, SessionRecord, Snapshot, StoredSession, Subscription,
};
use mqtt::{PacketId, TopicFilterBuf};

use crate::{
    Damage, Loaded, Quarantined, StoreError,
    engine::Writes,
    key::{Key, Kind, Place},
    ledger::Ledger,
    numbers::{FoundNumbers, Numbers},
    queue::{PageId, QueuePage, extend},
    record::{self, Assembled, Assembler},
    state::State,
};

/// Pieces of damaged records that are kept; what is damaged beyond that is deleted.
const QUARANTINE_PIECES: u64 = 1024;
/// Skipped when the high-water mark of session numbers was itself damaged.
const LOST_SESSION_NUMBERS: u32 = 1 << 20;

/// Takes an engine's entries in key order, then gives the state they add up to.
pub(crate) struct Recovery {
    assembler: Assembler,
    found: FoundNumbers,
    /// Entries, as found.
    entries: u64,
    meta_damaged: bool,
    recovered: Recovered,
}

/// What an engine holds.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(crate) loaded: Loaded,
    pub(crate) numbers: Numbers,
    pub(crate) ledger: Ledger,
    /// Removes what is of no use, moves what was damaged.
    pub(crate) repairs: Writes,
    /// Whether a number about the whole store is missing or wrong.
    pub(crate) outdated_numbers: bool,
    pub(crate) live_bytes: u64,
    /// Checkpoints that were durable and are gone.
    pub(crate) rolled_back: Option<u64>,
    /// Entries that were written and are not there.
    pub(crate) missing: Option<u64>,
    surplus: bool,
    sessions: BTreeMap<SessionKey, SessionRecord>,
    subscriptions: BTreeMap<Key, (TopicFilterBuf, Subscription)>,
    received: BTreeMap<Key, PacketId>,
    retained: BTreeMap<Key, Arc<Message>>,
    queues: BTreeMap<PageId, QueueSummary>,
}

impl Recovery {
    pub(crate) fn new() -> Self {
        Self {
            assembler: Assembler::new(record::FORMAT),
            found: FoundNumbers::default(),
            entries: 0,
            meta_damaged: false,
            recovered: Recovered::default(),
        }
    }

    /// Takes the next entry.
    pub(crate) fn feed(&mut self, key: &[u8], value: &[u8]) {
        self.recovered.live_bytes += (key.len() + value.len()) as u64;
        let Some((key, place)) = Key::parse(key) else {
            self.report(None, hex(key), Damage::ForeignKey);
            return;
        };
        if place.kind == Kind::Quarantine {
            self.recovered.loaded.quarantine_held += 1;
            return;
        }
        self.entries += u64::from(place.kind != Kind::Meta);
        if let Some(record) = self.assembler.feed(key, place, value) {
            self.take(record);
        }
    }

    /// Ends the reading. At least `marked` checkpoints were durable.
    pub(crate) fn finish(mut self, marked: u64) -> Result<Recovered, StoreError> {
        if let Some(record) = self.assembler.finish() {
            self.take(record);
        }
        let supported = u64::from(record::FORMAT);
        if let Some(found) = self.found.format.filter(|found| *found > supported) {
            return Err(StoreError::NewerFormat { found, supported });
        }
        let found = self.found;
        let mut recovered = self.recovered;
        recovered.rolled_back =
            found.checkpoints.and_then(|made| marked.checked_sub(made)).filter(|lost| *lost > 0);
        let counted = found.entries.unwrap_or(self.entries);
        recovered.missing = counted.checked_sub(self.entries).filter(|missing| *missing > 0);
        recovered.surplus = counted < self.entries;
        let removed = recovered.repairs.iter().filter(|(key, value)| {
            value.is_none() && !matches!(key.kind(), Some(Kind::Meta | Kind::Quarantine))
        });
        let removed = removed.count() as u64;
        let skip = if self.meta_damaged { LOST_SESSION_NUMBERS } else { 0 };
        let seen = recovered.sessions.last_key_value().map_or(0, |(key, _)| key.0 + 1);
        let stored = found.next_session.map(|next| u32::try_from(next).unwrap_or(u32::MAX));
        recovered.numbers = Numbers {
            checkpoints: found.checkpoints.unwrap_or(0).max(marked),
            entries: self.entries.saturating_sub(removed),
            next_session: stored.unwrap_or(seen.saturating_add(skip)).max(seen),
            position: found.position,
            group: found.group.unwrap_or(0),
        };
        recovered.outdated_numbers = !found.all_there()
            || found.checkpoints != Some(recovered.numbers.checkpoints)
            || found.entries != Some(recovered.numbers.entries);
        Ok(recovered)
    }

    fn take(&mut self, record: Assembled) {
        let Assembled { place, pieces, body } = record;
        let (body, count) = match body {
            Ok(whole) => whole,
            Err(damage) => return self.quarantine(place, pieces, damage),
        };
        let kept = usize::try_from(count).unwrap_or(usize::MAX);
        for (key, _) in pieces.iter().skip(kept) {
            self.recovered.repairs.insert(*key, None);
            self.recovered.loaded.dropped.fragments += 1;
        }
        let taken = match place.kind {
            Kind::Meta => self.found.take(place.base, &body),
            // Nothing of the old format is left once the store has this one.
            Kind::Message | Kind::Delivery => Err(Damage::ForeignKey),
            Kind::Queue => self.recovered.put_page(place.base, &body),
            _ => self.recovered.put(place.base, &body),
        };
        if let Err(damage) = taken {
            self.quarantine(place, pieces, damage);
        }
    }

    fn quarantine(&mut self, place: Place, pieces: Vec<(Key, Vec<u8>)>, damage: Damage) {
        self.meta_damaged |= place.kind == Kind::Meta;
        self.report(Some(place.kind), place.base.to_string(), damage);
        let Recovered { loaded, repairs, .. } = &mut self.recovered;
        for (key, value) in pieces {
            repairs.insert(key, None);
            if loaded.quarantine_held < QUARANTINE_PIECES {
                loaded.quarantine_held += 1;
                repairs.insert(key.quarantined(), Some(value));
            }
        }
    }

    fn report(&mut self, kind: Option<Kind>, key: String, damage: Damage) {
        let loaded = &mut self.recovered.loaded;
        loaded.quarantined_total += 1;
        if loaded.quarantined.len() < Loaded::MAX_REPORTED {
            loaded.quarantined.push(Quarantined { kind, key, damage });
        }
    }
}

impl Recovered {
    /// What shows that the engine lost or spoiled something.
    pub(crate) fn damage(&self) -> Option<String> {
        if let Some(lost) = self.rolled_back {
            Some(format!("its last {lost} checkpoints are missing"))
        } else if let Some(missing) = self.missing {
            Some(format!("{missing} records are missing"))
        } else if self.surplus {
            Some("records are there that were removed".to_owned())
        } else if self.loaded.quarantined_total > 0 {
            Some(format!("{} damaged records", self.loaded.quarantined_total))
        } else {
            None
        }
    }

    fn put(&mut self, key: Key, body: &[u8]) -> Result<(), Damage> {
        match key.kind() {
            Some(Kind::Session) => {
                self.sessions.insert(owner(key)?, record::decode_session(body)?);
            }
            Some(Kind::Subscription) => {
                self.subscriptions.insert(key, record::decode_subscription(body)?);
            }
            Some(Kind::Received) => {
                let packet_id = key.field(5).map(u16::from_be_bytes).and_then(PacketId::new);
                let packet_id = packet_id.ok_or(Damage::Invalid("packet identifier"))?;
                self.received.insert(key, packet_id);
            }
            Some(Kind::Retained) => {
                self.retained.insert(key, Arc::new(record::decode_message(body)?));
            }
            _ => return Err(Damage::ForeignKey),
        }
        Ok(())
    }

    fn put_page(&mut self, key: Key, body: &[u8]) -> Result<(), Damage> {
        let number = key.field(5).map(u64::from_be_bytes).ok_or(Damage::ForeignKey)?;
        let page = QueuePage::decode(body)?;
        page.iter().for_each(|(_, entry)| self.ledger.add(&entry));
        self.queues.insert((owner(key)?, number), page.summary(number));
        Ok(())
    }

    fn remove(&mut self, key: Key) {
        self.subscriptions.remove(&key);
        self.received.remove(&key);
        self.retained.remove(&key);
        if let (Some(Kind::Session), Some(owner)) = (key.kind(), key.owner()) {
            self.sessions.remove(&owner);
        }
    }

    /// Takes over what was committed after what the engine has.
    pub(crate) fn overlay(&mut self, state: &State) {
        let ended: BTreeSet<SessionKey> = state.changed.ended().collect();
        let gone = |key: &Key| key.owner().is_some_and(|owner| ended.contains(&owner));
        self.sessions.retain(|session, _| !ended.contains(session));
        self.subscriptions.retain(|key, _| !gone(key));
        self.received.retain(|key, _| !gone(key));
        self.queues.retain(|(session, _), _| !ended.contains(session));
        for (key, body) in state.changed.records() {
            // What was encoded by this release can be decoded by it.
            match body.map(|body| self.put(key, body)) {
                Some(Ok(())) => {}
                Some(Err(_)) | None => self.remove(key),
            }
        }
        for (id, page) in state.pages.resident() {
            if page.is_empty() {
                self.queues.remove(&id);
            } else {
                self.queues.insert(id, page.summary(id.1));
            }
        }
    }

    /// Drops what belongs to sessions that are not there; returns which.
    pub(crate) fn drop_orphans(&mut self) -> BTreeSet<SessionKey> {
        let mut orphans = BTreeSet::new();
        let (sessions, dropped) = (&self.sessions, &mut self.loaded.dropped);
        let mut keep = |owner: Option<SessionKey>, count: &mut u64, weight: usize| {
            let there = owner.is_some_and(|owner| sessions.contains_key(&owner));
            if !there {
                orphans.extend(owner);
                *count += weight as u64;
            }
            there
        };
        self.subscriptions.retain(|key, _| keep(key.owner(), &mut dropped.subscriptions, 1));
        self.received.retain(|key, _| keep(key.owner(), &mut dropped.received, 1));
        self.queues.retain(|(session, _), page| {
            keep(Some(*session), &mut dropped.deliveries_without_session, page.count)
        });
        orphans
    }

    /// The state to start the broker from.
    pub(crate) fn snapshot(self, next_session: u32) -> (Snapshot, Loaded) {
        let stored = |(key, record)| {
            let (subscriptions, received) = (Vec::new(), Vec::new());
            let queue = QueueSummary::default();
            (key, StoredSession { key, record, subscriptions, queue, received })
        };
        let mut sessions: BTreeMap<SessionKey, StoredSession> =
            self.sessions.into_iter().map(stored).collect();
        for (key, subscription) in self.subscriptions {
            if let Some(session) = key.owner().and_then(|owner| sessions.get_mut(&owner)) {
                session.subscriptions.push(subscription);
            }
        }
        for (key, packet_id) in self.received {
            if let Some(session) = key.owner().and_then(|owner| sessions.get_mut(&owner)) {
                session.received.push(packet_id);
            }
        }
        for ((owner, _), page) in self.queues {
            if let Some(session) = sessions.get_mut(&owner) {
                extend(&mut session.queue, &page);
            }
        }
        let mut retained: Vec<Arc<Message>> = self.retained.into_values().collect();
        retained.sort_by(|a, b| a.topic.cmp(&b.topic));
        let sessions = sessions.into_values().map(in_filter_order).collect();
        (Snapshot { sessions, retained, next_session }, self.loaded)
    }
}

fn owner(key: Key) -> Result<SessionKey, Damage> {
    key.owner().ok_or(Damage::ForeignKey)
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
