use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use mqtt::{QoS, TopicFilterBuf, TopicNameBuf};
use session::{Class, Lane, Load, Sum, Timestamp};

use crate::broker::Waiter;
use crate::client::{Client, Tag};
use crate::deliver::Publication;
use crate::durable::{DeliveryRecord, IDS_MAX, Op};
use crate::routes::{Grant, Origin};
use crate::timers::Write;
use crate::{Broker, DropCause, Durability, Limit, Overflow};

/// Messages by which a queue may be too long, until its oldest have been read from disk and
/// dropped.
pub(crate) const SLACK: usize = 1000;
/// Bytes by which it may be.
pub(crate) const SLACK_BYTES: usize = 256 * 1024;

/// The way that a delivery takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It leaves at once.
    Send,
    /// It waits in memory: the client's window or its outbox is full, or it is a QoS 2 delivery
    /// that must be on disk before it is sent.
    Queue,
    /// It waits on disk.
    Behind,
    /// There is no room for it.
    Full(Limit),
}

/// What waits for one session under [`Overflow::LastValue`].
#[derive(Debug, Default)]
pub(crate) struct Values {
    by_slot: HashMap<Slot, Value>,
    slots: BTreeMap<u64, Slot>,
    /// Replaced while they were being read.
    replaced: BTreeSet<u64>,
}

/// Of what a session keeps the last value: a topic, by its own subscriptions or as a member of a
/// group. What may go to another member takes the place of nothing else.
type Slot = (Option<TopicFilterBuf>, TopicNameBuf);

#[derive(Clone, Copy, Debug)]
struct Value {
    sequence: u64,
    load: Load,
}

impl Values {
    /// Whether a delivery that was read has been replaced meanwhile.
    pub(crate) fn is_replaced(&self, sequence: u64) -> bool {
        self.replaced.contains(&sequence)
    }

    /// No read is under way any more.
    pub(crate) fn settle(&mut self) {
        self.replaced.clear();
    }

    /// This delivery does not wait any more.
    pub(crate) fn forget(&mut self, sequence: u64) {
        if let Some(slot) = self.slots.remove(&sequence) {
            self.by_slot.remove(&slot);
        }
    }

    fn get(&self, slot: &Slot) -> Option<Value> {
        self.by_slot.get(slot).copied()
    }

    fn insert(&mut self, slot: Slot, value: Value) {
        self.slots.insert(value.sequence, slot.clone());
        self.by_slot.insert(slot, value);
    }

    fn take(&mut self, slot: &Slot) -> Option<Value> {
        let value = self.by_slot.remove(slot)?;
        self.slots.remove(&value.sequence);
        Some(value)
    }
}

/// The queues of sessions: what has room in them, what is dropped, and what is written.
impl Broker {
    /// The way that a delivery of that QoS takes.
    pub(crate) fn way(
        &self,
        client: &Client,
        grant: &Grant,
        publication: &Publication<'_>,
        qos: QoS,
    ) -> Way {
        let (settings, weight) = (&self.settings, publication.weight());
        let durable = client.is_durable();
        let sends_now = qos == QoS::AtLeastOnce || !durable;
        // What may have to be sent again is in memory as much as what waits.
        let keeps = durable || grant.is_shared();
        let room = client.online.as_ref().is_some_and(|online| {
            let lane = online.lane_for(publication.topic, grant.origin.as_ref());
            online.takes(lane, &client.outbound, settings)
        });
        let sends = room && sends_now && client.outbound.has_room();
        if sends && (!keeps || self.byte_limit(client, weight).is_none()) {
            return Way::Send;
        }
        match self.limit(client, publication, grant) {
            Some(limit) => Way::Full(limit),
            None if self.goes_behind(client, weight) => Way::Behind,
            None => Way::Queue,
        }
    }

    /// A session has no room for a publication. Answers whether it is to be queued all the same,
    /// and older ones dropped for it.
    pub(crate) fn may_overflow(
        &mut self,
        session: u32,
        publication: &mut Publication<'_>,
        limit: Limit,
    ) -> bool {
        let (settings, weight) = (&self.settings, publication.weight());
        let Some(client) = self.clients.get(session as usize) else { return false };
        let queue = &client.outbound;
        let max_bytes = client.max_queued_bytes(settings);
        let drops_oldest =
            matches!(publication.overflow, Overflow::DropOldest | Overflow::LastValue)
                && client.is_durable()
                && publication.quota.is_none_or(|quota| quota.has_slack(client, weight))
                && weight <= max_bytes.min(settings.max_queued_bytes_total)
                && queue.len() < client.max_queued_messages(settings).saturating_add(SLACK)
                && queue.weight() < max_bytes.saturating_add(SLACK_BYTES)
                && self.queued_bytes < settings.max_queued_bytes_total.saturating_add(SLACK_BYTES);
        self.stats.count_limit(limit);
        if drops_oldest {
            return true;
        }
        publication.refused |= publication.overflow == Overflow::Reject;
        self.stats.dropped_queue_full += 1;
        self.dropped(session, DropCause::QueueFull);
        false
    }

    /// Queues a delivery in memory; it is written if it stays there.
    pub(crate) fn enqueue(
        &mut self,
        now: Timestamp,
        session: u32,
        grant: &Grant,
        publication: &mut Publication<'_>,
        qos: QoS,
        retain: bool,
    ) {
        self.replace(session, grant, publication);
        let body = publication.body();
        let weight = body.weight();
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let durable = client.is_durable();
        let online = client.online.as_ref();
        let lane = online.map_or(Lane::CONTROL, |online| {
            online.lane_for(publication.topic, grant.origin.as_ref())
        });
        let mut tag = Tag { origin: grant.origin.clone(), lane, ..Tag::default() };
        if durable {
            tag.message =
                Some(*publication.key.get_or_insert_with(|| self.journal.new_message_key()));
            tag.promise = publication.make_promise();
        }
        self.queued_bytes += weight;
        self.waiting_bytes += weight;
        let load = Load { weight, shared: tag.is_shared(), class: publication.class() };
        let sequence = client.outbound.push(body, qos, retain, load.class, tag);
        let uid = client.uid;
        let online = client.online.is_some();
        self.note_value(session, grant, publication, Value { sequence, load });
        if !durable {
            return;
        }
        // A client that is there and only slow may still spare the disk the write, unless
        // exactly-once forbids to send before the delivery is durable.
        let may_wait = qos == QoS::AtLeastOnce && !publication.must_be_stored();
        if !online || !may_wait {
            self.store_delivery(session, sequence);
        } else if publication.durability != Durability::Off {
            let write = Write { session, uid, sequence };
            self.timers.write_at(now.after(self.settings.persist_delay), write);
        }
    }

    /// Queues a delivery on disk only.
    pub(crate) fn enqueue_behind(
        &mut self,
        session: u32,
        grant: &Grant,
        publication: &mut Publication<'_>,
        qos: QoS,
        retain: bool,
    ) {
        self.replace(session, grant, publication);
        let body = publication.body();
        let weight = body.weight();
        let message = *publication.key.get_or_insert_with(|| self.journal.new_message_key());
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(key) = client.key else { return };
        let delivery = record(qos, retain, grant.origin.as_ref(), publication.class());
        let load = Load { weight, shared: delivery.shared, class: publication.class() };
        let first = client.outbound.rest().count == 0;
        let sequence = client.outbound.push_behind(load);
        client.sweep.note_expiry(body.expires);
        self.queued_bytes += weight;
        self.stats.deliveries_stored += 1;
        let put = Op::PutDelivery { session: key, sequence, delivery, message, body };
        let lsn = match publication.durability {
            Durability::Off => self.journal.append_unhurried(put),
            Durability::Strict | Durability::Relaxed => self.journal.append(put),
        };
        if first {
            client.behind = lsn;
        }
        if let Some(promise) = publication.make_promise() {
            self.journal.wait(lsn, Waiter::Promise(promise));
        }
        self.note_value(session, grant, publication, Value { sequence, load });
        self.set_alarm(session);
        self.read_ahead(session);
    }

    /// Drops what waits on the topic of a publication that replaces it.
    fn replace(&mut self, session: u32, grant: &Grant, publication: &Publication<'_>) {
        if publication.overflow != Overflow::LastValue {
            return;
        }
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let Some(old) = client.values.take(&slot(grant, publication)) else { return };
        // What the client may have is not taken back.
        let unsent = old.sequence >= client.outbound.sent_below();
        if client.outbound.get_mut(old.sequence).is_some() {
            if unsent {
                self.give_up(session, old.sequence);
                self.dropped(session, DropCause::Replaced);
            }
        } else if client.is_durable() && unsent && old.sequence >= client.outbound.rest().first {
            client.outbound.take_from_rest(old.load);
            if client.reading.is_some() {
                client.values.replaced.insert(old.sequence);
            }
            self.queued_bytes -= old.load.weight;
            self.remove_behind(session, old.sequence, DropCause::Replaced);
            let last = self.journal.last();
            if let Some(client) = self.clients.get_mut(session as usize) {
                client.behind = last;
            }
        }
    }

    fn note_value(
        &mut self,
        session: u32,
        grant: &Grant,
        publication: &Publication<'_>,
        value: Value,
    ) {
        if publication.overflow == Overflow::LastValue
            && let Some(client) = self.clients.get_mut(session as usize)
        {
            client.values.insert(slot(grant, publication), value);
        }
    }

    /// Writes a delivery that is in memory only; whoever waits for it waits for the disk.
    pub(crate) fn store_delivery(&mut self, session: u32, sequence: u64) {
        let Some(client) = self.clients.get_mut(session as usize) else { return };
        let (Some(key), uid) = (client.key, client.uid) else { return };
        let online = client.online.is_some();
        let Some(delivery) = client.outbound.get_mut(sequence) else { return };
        let (Some(message), Some(body)) = (delivery.tag.message, delivery.message.as_ref()) else {
            return;
        };
        if delivery.tag.stored.is_some() {
            return;
        }
        let body = Arc::clone(body);
        let origin = delivery.tag.origin.as_ref();
        let record = record(delivery.qos, delivery.retain, origin, delivery.class);
        let put = Op::PutDelivery { session: key, sequence, delivery: record, message, body };
        let lsn = self.journal.append(put);
        delivery.tag.stored = Some(lsn);
        self.stats.deliveries_stored += 1;
        if let Some(promise) = delivery.tag.promise.take() {
            self.journal.wait(lsn, Waiter::Promise(promise));
        }
        if online && delivery.qos == QoS::ExactlyOnce {
            self.journal.wait(lsn, Waiter::Connection { session, uid });
        }
    }

    /// Drops the oldest messages of a queue that is too long.
    pub(crate) fn trim(&mut self, session: u32) {
        while let Some(client) = self.clients.get(session as usize) {
            let (settings, queue) = (&self.settings, &client.outbound);
            let over = queue.len() > client.max_queued_messages(settings)
                || queue.weight() > client.max_queued_bytes(settings)
                || self.queued_bytes > settings.max_queued_bytes_total;
            let oldest = queue.first_unsent().map(|delivery| delivery.sequence);
            // If the oldest is on disk, it is read first.
            let trims = over && oldest.is_none() && queue.rest().count > 0;
            if let Some(client) = self.clients.get_mut(session as usize) {
                client.trims = trims;
            }
            let Some(oldest) = oldest.filter(|_| over) else { break };
            self.stats.dropped_queue_full += 1;
            self.dropped(session, DropCause::QueueFull);
            self.give_up(session, oldest);
        }
        self.read_ahead(session);
    }

    /// Drops one queued delivery.
    pub(crate) fn give_up(&mut self, session: u32, sequence: u64) {
        let settled = self.with_queue(session, |queue| queue.discard(sequence));
        if let Some(settled) = settled.flatten() {
            self.settled(session, settled);
        }
    }
}

fn slot(grant: &Grant, publication: &Publication<'_>) -> Slot {
    let group = grant.origin.as_ref().and_then(|origin| origin.group.clone());
    (group, publication.topic.to_owned())
}

/// What waits and would be replaced by a publication.
pub(crate) fn replaceable(client: &Client, grant: &Grant, publication: &Publication<'_>) -> Sum {
    let keeps_last = publication.overflow == Overflow::LastValue;
    let old = keeps_last.then(|| client.values.get(&slot(grant, publication))).flatten();
    // What the client may have is not taken back.
    let old = old.filter(|old| old.sequence >= client.outbound.sent_below());
    old.map_or_else(Sum::default, |old| Sum { count: 1, weight: old.load.weight })
}

/// What the disk is to remember of a delivery.
fn record(
    qos: QoS,
    retain: bool,
    origin: Option<&Arc<Origin>>,
    class: Option<Class>,
) -> DeliveryRecord {
    let class = class.map(|class| class.0.get());
    let group = origin.and_then(|origin| origin.group.as_ref());
    let ids = crate::routes::ids(origin).iter().take(IDS_MAX);
    DeliveryRecord {
        qos,
        retain,
        released: false,
        shared: group.is_some(),
        ids: ids.chain(group.map(crate::groups::mark)).chain(class).collect(),
    }
}
