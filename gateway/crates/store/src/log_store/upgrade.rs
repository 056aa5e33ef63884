//! From format 1, in which everything was in the engine.

use std::{collections::BTreeMap, sync::Arc};

use broker::Message;
use broker::durable::{DeliveryRecord, SessionKey, SessionRecord};

use super::{LogStore, log_settings};
use crate::{
    Damage, Incident, StoreError,
    change::MESSAGE,
    engine::{Engine, Marks, Writes},
    key::{Key, Kind},
    log::{Log, Position, Slot},
    numbers::{FoundNumbers, Numbers},
    queue::{Entry, PageId, QueuePage, place},
    record::{self, Assembled, Assembler, old},
};

/// Bytes of messages in one group, near enough.
const GROUP_BYTES: usize = 256 << 10;

/// What a store of format 1 holds.
#[derive(Default)]
struct Old {
    numbers: FoundNumbers,
    sessions: BTreeMap<SessionKey, old::Session>,
    messages: BTreeMap<u64, Message>,
    deliveries: BTreeMap<(SessionKey, u64), old::Delivery>,
    /// Records that are the same in both formats.
    others: Vec<(Kind, Key, Vec<u8>)>,
    quarantine: Vec<(Key, Vec<u8>)>,
    damaged: u64,
    /// Entries, as found.
    entries: u64,
}

/// How much damage is put up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lenience {
    /// None: the damaged files are to be kept first.
    None,
    /// What can be read is taken over.
    Full,
}

impl<E: Engine> LogStore<E> {
    /// Writes everything anew: messages to an empty log, the rest to an engine that takes the
    /// place of the old one when it is complete. If that is interrupted, it begins again.
    pub(super) fn upgrade(&mut self, lenience: Lenience) -> Result<(), StoreError> {
        let mut old = Old::default();
        let mut assembler = Assembler::new(record::OLD_FORMAT);
        self.engine.scan(&mut |key, value| match Key::parse(key) {
            Some((key, place)) if place.kind == Kind::Quarantine => {
                old.quarantine.push((key, value.to_vec()));
            }
            Some((key, place)) => {
                old.entries += u64::from(place.kind != Kind::Meta);
                old.extend(assembler.feed(key, place, value));
            }
            None => old.damaged += 1,
        })?;
        old.extend(assembler.finish());
        let marked = self.engine.marked().checkpoints;
        let missing = old.numbers.entries.unwrap_or(0).saturating_sub(old.entries);
        let rolled_back = marked.saturating_sub(old.numbers.checkpoints.unwrap_or(marked));
        let damage = (old.damaged, missing, rolled_back);
        if damage != (0, 0, 0) && lenience == Lenience::None {
            let detail = format!(
                "{} records are damaged and {missing} missing, and the last {rolled_back} commits",
                old.damaged
            );
            return Err(StoreError::Damaged { action: "upgrade", detail });
        }
        let missing = Some(missing).filter(|missing| *missing > 0);
        self.incidents.extend(missing.map(|records| Incident::RecordsMissing { records }));
        let rolled_back = Some(rolled_back).filter(|commits| *commits > 0);
        self.incidents.extend(rolled_back.map(|commits| Incident::RolledBack { commits }));
        self.empty_log()?;
        let positions = self.append_messages(&old)?;
        let numbers = Numbers {
            checkpoints: old.numbers.checkpoints.unwrap_or(0).max(marked),
            position: Some(self.log.end()),
            group: self.log.next_group(),
            ..Numbers::default()
        };
        let (writes, queued) = old.rewrite(&positions, numbers);
        self.engine.replace(&writes)?;
        self.engine.mark(Marks {
            checkpoints: numbers.checkpoints,
            group: numbers.group.saturating_sub(1),
        });
        self.incidents.push(Incident::Upgraded {
            from: record::OLD_FORMAT,
            queued,
            damaged: old.damaged,
        });
        Ok(())
    }

    /// Removes what an interrupted upgrade left.
    fn empty_log(&mut self) -> Result<(), StoreError> {
        let segments: Vec<u32> = self.log.segments().map(|(segment, _)| segment).collect();
        for segment in segments {
            self.log.remove(segment)?;
        }
        let settings = log_settings(self.settings);
        self.log = Log::open(Arc::clone(&self.files), &self.dir, settings)?;
        self.log.replay(None, &mut |_| ())?;
        Ok(())
    }

    fn append_messages(&mut self, old: &Old) -> Result<BTreeMap<u64, Position>, StoreError> {
        let mut positions = BTreeMap::new();
        let mut slots: Vec<(u64, Slot)> = Vec::new();
        let mut left = old.messages.iter().peekable();
        self.group.clear();
        while let Some((number, message)) = left.next() {
            let slot = self.group.push(MESSAGE, |out| record::encode_message_into(message, out));
            slots.push((*number, slot));
            if self.group.len() >= GROUP_BYTES || left.peek().is_none() {
                let base = self.log.append(&self.group)?;
                positions.extend(slots.drain(..).map(|(number, slot)| (number, base.at(slot))));
                self.group.clear();
            }
        }
        self.log.sync()?;
        Ok(positions)
    }
}

impl Old {
    fn extend(&mut self, record: Option<Assembled>) {
        let Some(Assembled { place, pieces, body }) = record else { return };
        let taken = body.and_then(|(body, _)| self.take(place.kind, place.base, body));
        if taken.is_err() {
            self.damaged += 1;
            let kept = pieces.into_iter().map(|(key, value)| (key.quarantined(), value));
            self.quarantine.extend(kept);
        }
    }

    fn take(&mut self, kind: Kind, key: Key, body: Vec<u8>) -> Result<(), Damage> {
        let owner = key.owner().ok_or(Damage::ForeignKey);
        match kind {
            Kind::Meta => self.numbers.take(key, &body)?,
            Kind::Session => {
                self.sessions.insert(owner?, old::decode_session(&body)?);
            }
            Kind::Message => {
                let number = key.field(1).map(u64::from_be_bytes).ok_or(Damage::ForeignKey)?;
                self.messages.insert(number, record::decode_message(&body)?);
            }
            Kind::Delivery => {
                let sequence = key.field(5).map(u64::from_be_bytes).ok_or(Damage::ForeignKey)?;
                self.deliveries.insert((owner?, sequence), old::decode_delivery(&body)?);
            }
            Kind::Subscription | Kind::Received | Kind::Retained => {
                self.others.push((kind, key, body));
            }
            Kind::Queue | Kind::Kept | Kind::Quarantine => return Err(Damage::ForeignKey),
        }
        Ok(())
    }

    /// The same in the new format, and how many queue entries there are.
    fn rewrite(&self, messages: &BTreeMap<u64, Position>, numbers: Numbers) -> (Writes, u64) {
        let mut writes = Writes::new();
        let mut put = |kind, key, body: &[u8]| {
            record::split(kind, key, body, |key, value| {
                writes.insert(key, Some(value));
            });
        };
        let mut queued = 0;
        for ((session, number), page) in self.pages(messages) {
            queued += page.len() as u64;
            put(Kind::Queue, Key::page(session, number), &page.encode());
        }
        for (session, old) in &self.sessions {
            let queue = (*session, 0)..=(*session, u64::MAX);
            let last =
                self.deliveries.range(queue).next_back().map_or(0, |((_, last), _)| last + 1);
            let record = SessionRecord {
                client_id: Arc::clone(&old.client_id),
                principal: Arc::clone(&old.principal),
                version: old.version,
                expiry_seconds: old.expiry_seconds,
                disconnected_at: old.disconnected_at,
                // What was sent was not noted.
                sent_below: last,
                ended: false,
                will: None,
            };
            put(Kind::Session, Key::session(*session), &record::encode_session(&record));
        }
        for (kind, key, body) in &self.others {
            put(*kind, *key, body);
        }
        let entries = writes.len() as u64;
        writes.extend(self.quarantine.iter().map(|(key, value)| (*key, Some(value.clone()))));
        let seen = self.sessions.last_key_value().map_or(0, |(key, _)| key.0 + 1);
        let stored = self.numbers.next_session.and_then(|next| u32::try_from(next).ok());
        let numbers = Numbers { entries, next_session: stored.unwrap_or(0).max(seen), ..numbers };
        numbers.put(&mut writes);
        (writes, queued)
    }

    fn pages(&self, messages: &BTreeMap<u64, Position>) -> BTreeMap<PageId, QueuePage> {
        let mut sharers: BTreeMap<u64, u16> = BTreeMap::new();
        for delivery in self.deliveries.values().filter(|delivery| !delivery.released) {
            let sharers = sharers.entry(delivery.message).or_default();
            *sharers = sharers.saturating_add(1);
        }
        let mut pages: BTreeMap<PageId, QueuePage> = BTreeMap::new();
        for ((session, sequence), old) in &self.deliveries {
            let (position, message) = (messages.get(&old.message), self.messages.get(&old.message));
            let delivery = DeliveryRecord {
                qos: old.qos,
                retain: old.retain,
                released: old.released,
                shared: old.shared,
                ids: old.ids.clone(),
            };
            let entry = match (position, message) {
                (Some(position), Some(message)) if !old.released => Entry {
                    message: Some(*position),
                    sharers: sharers.get(&old.message).copied().unwrap_or(1),
                    ..Entry::new(&delivery, message)
                },
                // A message that is damaged is a loss; its bytes are in the quarantine.
                _ if !old.released => continue,
                _ => Entry::released(&delivery),
            };
            let (number, slot) = place(*sequence);
            pages.entry((*session, number)).or_default().put(slot, entry);
        }
        pages
    }
}
