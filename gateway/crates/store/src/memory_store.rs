use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use broker::durable::{
    DeliveryRecord, Op, Page, QueueSummary, Read, SessionKey, SessionRecord, Snapshot,
    StoredDelivery, StoredSession, Subscription, Urgency,
};
use broker::{Message, Timestamp};
use mqtt::{PacketId, TopicFilterBuf, TopicNameBuf};

use crate::{CommitStats, Loaded, Maintained, Store, StoreError, Usage};

/// A store that ends with the process, and fails on request.
///
/// Clones share what is in it, as a restarted gateway shares its disk.
#[derive(Clone, Default)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
}

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written.
    Refused,
    /// The disk is full; nothing is written.
    NoSpace,
    /// Everything is written, and then the answer is lost.
    AnswerLost,
}

#[derive(Default)]
struct Disk {
    content: Content,
    faults: VecDeque<Fault>,
    read_faults: usize,
    delay: Duration,
}

/// What a store is, said with maps.
#[derive(Clone, Default)]
struct Content {
    sessions: BTreeMap<SessionKey, Stored>,
    retained: BTreeMap<TopicNameBuf, Arc<Message>>,
    next_session: u32,
}

#[derive(Clone, Default)]
struct Stored {
    record: Option<SessionRecord>,
    subscriptions: BTreeMap<TopicFilterBuf, Subscription>,
    queue: BTreeMap<u64, Queued>,
    received: BTreeSet<PacketId>,
}

#[derive(Clone)]
struct Queued {
    delivery: DeliveryRecord,
    /// `None` of one that is released.
    body: Option<Arc<Message>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The store as a process finds it that starts after this one was killed: with
    /// what was committed, and no more.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let content = self.disk().content.clone();
        Self { disk: Arc::new(Mutex::new(Disk { content, ..Disk::default() })) }
    }

    /// Makes the next commits fail, one for each fault.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.disk().faults.extend(faults);
    }

    /// Makes so many of the next reads fail.
    pub fn fail_reads(&self, count: usize) {
        self.disk().read_faults = count;
    }

    /// Makes every commit take `delay`.
    pub fn delay_commits(&self, delay: Duration) {
        self.disk().delay = delay;
    }

    /// A test that panicked while it held the lock leaves whole entries behind.
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let mut disk = self.disk();
        let mut loaded = Loaded::default();
        let dropped = &mut loaded.dropped;
        disk.content.sessions.retain(|_, session| {
            if session.record.is_none() {
                dropped.subscriptions += session.subscriptions.len() as u64;
                dropped.deliveries_without_session += session.queue.len() as u64;
                dropped.received += session.received.len() as u64;
            }
            session.record.is_some()
        });
        loaded.snapshot = disk.content.snapshot();
        Ok(loaded)
    }

    fn commit(&mut self, ops: &[Op], urgency: Urgency) -> Result<CommitStats, StoreError> {
        let delay = self.disk().delay;
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        let mut disk = self.disk();
        let fault = disk.faults.pop_front();
        match fault {
            Some(Fault::Refused) => return Err(StoreError::Injected),
            Some(Fault::NoSpace) => {
                let detail = "injected".to_owned();
                return Err(StoreError::NoSpace { action: "commit", detail });
            }
            Some(Fault::AnswerLost) | None => {}
        }
        let mut stats = CommitStats::default();
        for op in ops {
            let (bytes, removes) = disk.content.apply(op);
            stats.bytes += bytes as u64;
            stats.records_removed += u64::from(removes);
            stats.records_written += u64::from(!removes);
        }
        stats.syncs = u64::from(urgency == Urgency::Now);
        if fault.is_some() { Err(StoreError::Injected) } else { Ok(stats) }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&mut self, read: &Read) -> Result<Page, StoreError> {
        let mut disk = self.disk();
        if disk.read_faults > 0 {
            disk.read_faults -= 1;
            return Err(StoreError::Injected);
        }
        Ok(disk.content.read(read))
    }

    fn maintain(&mut self) -> Result<Maintained, StoreError> {
        Ok(Maintained::default())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }

    fn close(&mut self) {}
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sessions = self.disk().content.sessions.len();
        f.debug_struct("MemoryStore").field("sessions", &sessions).finish_non_exhaustive()
    }
}

impl Content {
    /// Applies one op; returns the bytes that it carried and whether it removes something.
    fn apply(&mut self, op: &Op) -> (usize, bool) {
        let mut bytes = 0;
        match op {
            Op::PutSession { session, record } => {
                self.next_session = self.next_session.max(session.0.saturating_add(1));
                self.session(*session).record = Some(record.clone());
            }
            Op::RemoveSession { session } => {
                self.sessions.remove(session);
                return (0, true);
            }
            Op::PutSubscription { session, filter, subscription } => {
                self.session(*session).subscriptions.insert(filter.clone(), *subscription);
            }
            Op::RemoveSubscription { session, filter } => {
                self.session(*session).subscriptions.remove(filter.as_str());
                return (0, true);
            }
            Op::PutDelivery { session, sequence, delivery, body, .. } => {
                bytes = body.weight();
                let kept = (!delivery.released).then(|| Arc::clone(body));
                let queued = Queued { delivery: delivery.clone(), body: kept };
                self.session(*session).queue.insert(*sequence, queued);
            }
            Op::ReleaseDelivery { session, sequence } => {
                if let Some(queued) = self.session(*session).queue.get_mut(sequence) {
                    queued.delivery.released = true;
                    queued.body = None;
                }
            }
            Op::RemoveDelivery { session, sequence } => {
                self.session(*session).queue.remove(sequence);
                return (0, true);
            }
            Op::PutReceived { session, packet_id } => {
                self.session(*session).received.insert(*packet_id);
            }
            Op::RemoveReceived { session, packet_id } => {
                self.session(*session).received.remove(packet_id);
                return (0, true);
            }
            Op::PutRetained { body } => {
                bytes = body.weight();
                self.retained.insert(body.topic.clone(), Arc::clone(body));
            }
            Op::RemoveRetained { topic } => {
                self.retained.remove(topic);
                return (0, true);
            }
        }
        (bytes, false)
    }

    fn session(&mut self, session: SessionKey) -> &mut Stored {
        self.sessions.entry(session).or_default()
    }

    fn read(&self, read: &Read) -> Page {
        let mut page = Page { entries: Vec::new(), next: None, first_expiry: None };
        let Some(session) = self.sessions.get(&read.session) else { return page };
        let mut bytes = 0;
        for (sequence, queued) in session.queue.range(read.from..) {
            let weight = queued.weight();
            let counted = if read.wanted.with_messages() { weight } else { 0 };
            if page.entries.len() >= read.max_entries.max(1)
                || (!page.entries.is_empty() && bytes + counted > read.max_bytes)
            {
                page.next = Some(*sequence);
                break;
            }
            let expires = queued.expires();
            if !read.wanted.takes(expires, &queued.delivery.ids) {
                page.first_expiry = page.first_expiry.into_iter().chain(expires).min();
                continue;
            }
            bytes += counted;
            page.entries.push(StoredDelivery {
                sequence: *sequence,
                delivery: queued.delivery.clone(),
                weight,
                body: queued.body.clone().filter(|_| read.wanted.with_messages()),
            });
        }
        page
    }

    fn snapshot(&self) -> Snapshot {
        let stored = |(key, session): (&SessionKey, &Stored)| {
            let record = session.record.clone()?;
            Some(StoredSession {
                key: *key,
                record,
                subscriptions: session.subscriptions.clone().into_iter().collect(),
                queue: session.summary(),
                received: session.received.iter().copied().collect(),
            })
        };
        Snapshot {
            sessions: self.sessions.iter().filter_map(stored).collect(),
            retained: self.retained.values().cloned().collect(),
            next_session: self.next_session,
        }
    }
}

impl Stored {
    fn summary(&self) -> QueueSummary {
        let ends = self.queue.first_key_value().zip(self.queue.last_key_value());
        let (first, next) =
            ends.map_or((0, 0), |((first, _), (last, _))| (*first, last.saturating_add(1)));
        let mut summary = QueueSummary {
            first,
            next,
            count: self.queue.len(),
            weight: self.queue.values().map(Queued::weight).sum(),
            shared: self.queue.values().filter(|queued| queued.delivery.shared).count(),
            first_expiry: self.queue.values().filter_map(Queued::expires).min(),
            ..QueueSummary::default()
        };
        for queued in self.queue.values() {
            summary.classify(&queued.delivery.ids, queued.weight());
        }
        summary
    }
}

impl Queued {
    fn weight(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.weight())
    }

    fn expires(&self) -> Option<Timestamp> {
        self.body.as_ref()?.expires
    }
}
