//! From ops to the fewest changes that have the same effect.

use std::collections::{BTreeMap, BTreeSet};

use broker::Message;
use broker::durable::{DeliveryRecord, MessageKey, Op, SessionKey};

use crate::{
    CommitStats, StoreError,
    change::{self, CHANGES, Change, MESSAGE, Reference},
    engine::{self, Engine},
    key::{Key, Kind},
    log::{GroupBuilder, Position, Slot},
    queue::{Entry, QueuePage, place},
    recent::Recent,
    record,
    state::State,
};

/// The net effect of some ops.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    ended: BTreeSet<SessionKey>,
    records: BTreeMap<Key, Option<Vec<u8>>>,
    entries: BTreeMap<(SessionKey, u64), Net<'a>>,
}

/// What becomes of a queue entry.
#[derive(Clone, Copy)]
enum Net<'a> {
    Put { delivery: &'a DeliveryRecord, released: bool, message: MessageKey, body: &'a Message },
    Release,
    Remove,
}

impl<'a> Plan<'a> {
    pub(crate) fn of(ops: &'a [Op]) -> Self {
        let mut plan = Self::default();
        ops.iter().for_each(|op| plan.add(op));
        plan
    }

    /// Adds one op. Later ops on the same record replace earlier ones.
    fn add(&mut self, op: &'a Op) {
        match op {
            Op::PutSession { session, record } => {
                self.put(Key::session(*session), record::encode_session(record));
            }
            Op::RemoveSession { session } => self.end(*session),
            Op::PutSubscription { session, filter, subscription } => {
                let filter = filter.as_str();
                let body = record::encode_subscription(filter, *subscription);
                self.put(Key::subscription(*session, filter), body);
            }
            Op::RemoveSubscription { session, filter } => {
                self.records.insert(Key::subscription(*session, filter.as_str()), None);
            }
            Op::PutDelivery { session, sequence, delivery, message, body } => {
                let (released, message) = (delivery.released, *message);
                let net = Net::Put { delivery, released, message, body };
                self.entries.insert((*session, *sequence), net);
            }
            Op::ReleaseDelivery { session, sequence } => {
                let net = self.entries.entry((*session, *sequence)).or_insert(Net::Release);
                if let Net::Put { released, .. } = net {
                    *released = true;
                }
            }
            Op::RemoveDelivery { session, sequence } => {
                self.entries.insert((*session, *sequence), Net::Remove);
            }
            Op::PutReceived { session, packet_id } => {
                self.put(Key::received(*session, *packet_id), Vec::new());
            }
            Op::RemoveReceived { session, packet_id } => {
                self.records.insert(Key::received(*session, *packet_id), None);
            }
            Op::PutRetained { body } => {
                let key = Key::retained(body.topic.as_str());
                self.put(key, record::encode_message(body));
            }
            Op::RemoveRetained { topic } => {
                self.records.insert(Key::retained(topic.as_str()), None);
            }
        }
    }

    fn put(&mut self, key: Key, body: Vec<u8>) {
        self.records.insert(key, Some(body));
    }

    fn end(&mut self, session: SessionKey) {
        for kind in crate::changed::OWNED {
            let prefix = Key::owned_by(kind, session);
            let from_here = self.records.range(prefix..).map(|(key, _)| *key);
            let keys: Vec<Key> = from_here.take_while(|key| key.starts_with(&prefix)).collect();
            for key in keys {
                self.records.remove(&key);
            }
        }
        let all = (session, 0)..=(session, u64::MAX);
        let entries: Vec<_> = self.entries.range(all).map(|(place, _)| *place).collect();
        for place in entries {
            self.entries.remove(&place);
        }
        self.ended.insert(session);
    }

    /// Writes what is not yet so to `group`. What is undone by a later op of the same plan
    /// leaves no trace: that is what spares the disk when a subscriber confirms before its
    /// message was committed.
    pub(crate) fn write(
        self,
        state: &mut State,
        engine: &mut dyn Engine,
        recent: &Recent<MessageKey>,
        group: &mut GroupBuilder,
    ) -> Result<Written, StoreError> {
        let mut changes = Vec::new();
        let ended = self.ended;
        for session in &ended {
            if exists(state, engine, *session)? {
                changes.push(Change::EndSession { session: *session });
            }
        }
        for (key, body) in self.records {
            let gone = key.kind() != Some(Kind::Retained)
                && key.owner().is_some_and(|owner| ended.contains(&owner));
            if body.is_some() || (!gone && known(state, engine, &key)?) {
                changes.push(Change::Record { key, body });
            }
        }
        let mut queues =
            Queues { recent, group, sharers: BTreeMap::new(), placed: BTreeMap::new() };
        queues.count(self.entries.values());
        for ((session, sequence), net) in self.entries {
            let (number, slot) = place(sequence);
            let page = state.pages.touch(engine, &state.changed, (session, number))?;
            let there = (!ended.contains(&session)).then(|| QueuePage::get(page, slot)).flatten();
            changes.extend(queues.change(session, sequence, net, there.as_ref()));
        }
        let messages = queues.placed.into_iter().collect();
        changes.iter().try_for_each(|change| state.prepare(engine, change))?;
        if !changes.is_empty() {
            group.push(CHANGES, |out| change::encode(&changes, out));
        }
        Ok(Written { changes, messages })
    }
}

/// What a plan wrote to its group.
pub(crate) struct Written {
    pub(crate) changes: Vec<Change>,
    /// The messages that are in the group.
    pub(crate) messages: Vec<(MessageKey, Slot)>,
}

impl Written {
    pub(crate) fn stats(&self) -> CommitStats {
        let removes = |change: &&Change| {
            matches!(
                change,
                Change::Record { body: None, .. }
                    | Change::EndSession { .. }
                    | Change::Remove { .. }
            )
        };
        let removed = self.changes.iter().filter(removes).count();
        CommitStats {
            records_written: (self.changes.len() - removed + self.messages.len()) as u64,
            records_removed: removed as u64,
            ..CommitStats::default()
        }
    }
}

/// Where the messages of a group's queue entries go.
struct Queues<'a> {
    recent: &'a Recent<MessageKey>,
    group: &'a mut GroupBuilder,
    /// How many entries of the group have each message.
    sharers: BTreeMap<MessageKey, u16>,
    placed: BTreeMap<MessageKey, Slot>,
}

impl Queues<'_> {
    fn count<'a>(&mut self, entries: impl Iterator<Item = &'a Net<'a>>) {
        for net in entries {
            if let Net::Put { released: false, message, .. } = net {
                let sharers = self.sharers.entry(*message).or_default();
                *sharers = sharers.saturating_add(1);
            }
        }
    }

    /// What is to be done so that `there` becomes what `net` says.
    fn change(
        &mut self,
        session: SessionKey,
        sequence: u64,
        net: Net<'_>,
        there: Option<&Entry>,
    ) -> Option<Change> {
        match (net, there) {
            (Net::Remove, Some(_)) => Some(Change::Remove { session, sequence }),
            (Net::Release, Some(Entry { released: false, .. })) => {
                Some(Change::Release { session, sequence })
            }
            (Net::Remove | Net::Release, _) => None,
            (Net::Put { delivery, released: true, body, .. }, _) => {
                let entry = Entry::new(delivery, body).release();
                (there != Some(&entry)).then_some(Change::Put {
                    session,
                    sequence,
                    entry,
                    message: None,
                })
            }
            (Net::Put { delivery, message, body, .. }, _) => {
                let mut entry = Entry::new(delivery, body);
                if let Some(position) = self.recent.get(&message) {
                    if there.is_some_and(|there| same(there, &entry, position)) {
                        return None;
                    }
                    let message = Some(Reference::At(position));
                    return Some(Change::Put { session, sequence, entry, message });
                }
                entry.sharers = self.sharers.get(&message).copied().unwrap_or(1);
                let group = &mut *self.group;
                let slot = *self.placed.entry(message).or_insert_with(|| {
                    group.push(MESSAGE, |out| record::encode_message_into(body, out))
                });
                let message = Some(Reference::Here(slot));
                Some(Change::Put { session, sequence, entry, message })
            }
        }
    }
}

/// Whether `there` is `entry` with its message at `position` already: the commit was tried before.
fn same(there: &Entry, entry: &Entry, position: Position) -> bool {
    let entry =
        Entry { message: Some(position), sharers: there.sharers, ids: entry.ids.clone(), ..*entry };
    *there == entry
}

/// Whether there is such a record.
fn known(state: &State, engine: &mut dyn Engine, key: &Key) -> Result<bool, StoreError> {
    match state.changed.get(key) {
        Some(body) => Ok(body.is_some()),
        None => Ok(engine.get(key)?.is_some()),
    }
}

/// Whether there is anything of a session.
fn exists(state: &State, engine: &mut dyn Engine, session: SessionKey) -> Result<bool, StoreError> {
    let queue = (session, 0)..=(session, u64::MAX);
    if state.changed.has_any(session)
        || !state.pages.ids(engine, &state.changed, queue, 1)?.is_empty()
    {
        return Ok(true);
    }
    if state.changed.is_ended(session) {
        return Ok(false);
    }
    for kind in crate::changed::OWNED {
        if engine::has_any(engine, &Key::owned_by(kind, session))? {
            return Ok(true);
        }
    }
    Ok(false)
}
