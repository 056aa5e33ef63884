//! One door for the store's tests: values to store, and what a store is found to hold.

use std::num::NonZeroU32;
use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use broker::durable::{
    Commit, DeliveryRecord, Lsn, MessageKey, Op, Read, SessionKey, SessionRecord, Snapshot,
    StoredDelivery, Subscription, Urgency, Wanted, WillRecord,
};
use broker::{Message, Timestamp};
use mqtt::{
    PacketId, QoS, RetainHandling, SubscribeOptions, TopicFilter, TopicFilterBuf, TopicName,
    Version,
};
use portcullis_store::{DiskStore, Loaded, MemoryStore, Settings, Store};

/// What a store holds, the queues included.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) snapshot: Snapshot,
    pub(crate) queues: BTreeMap<SessionKey, Vec<StoredDelivery>>,
}

impl Contents {
    /// Everything that `store` holds after `loaded`.
    pub(crate) fn of(store: &mut dyn Store, loaded: &Loaded) -> Self {
        let snapshot = loaded.snapshot.clone();
        let sessions = snapshot.sessions.iter().map(|session| session.key);
        let queues = sessions.map(|key| (key, queue(store, key))).collect();
        Self { snapshot, queues }
    }

    /// The queue of a session.
    pub(crate) fn queue(&self, session: u32) -> &[StoredDelivery] {
        self.queues.get(&SessionKey(session)).map_or(&[], Vec::as_slice)
    }

    /// Entries of all queues.
    pub(crate) fn entries(&self) -> usize {
        self.queues.values().map(Vec::len).sum()
    }
}

/// Without what is in the messages.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &str| text.chars().take(12).collect::<String>();
        for session in &self.snapshot.sessions {
            let filters = session.subscriptions.iter().map(|(filter, _)| short(filter.as_str()));
            let filters: Vec<String> = filters.collect();
            let (key, queue, received) = (session.key, &session.queue, &session.received);
            writeln!(f, "{key:?} {filters:?} {received:?} {queue:?}")?;
            for entry in self.queue(key.0) {
                let body = entry.body.as_ref();
                let body = body.map(|body| (short(body.topic.as_str()), body.payload.len()));
                let (sequence, delivery) = (entry.sequence, &entry.delivery);
                writeln!(f, "  {sequence}: {body:?} {} {delivery:?}", entry.weight)?;
            }
        }
        for body in &self.snapshot.retained {
            writeln!(f, "retained {} {}", short(body.topic.as_str()), body.payload.len())?;
        }
        write!(f, "next {}", self.snapshot.next_session)
    }
}

/// Reads a queue in parts, of different sizes.
pub(crate) fn queue(store: &mut dyn Store, session: SessionKey) -> Vec<StoredDelivery> {
    let mut entries = Vec::new();
    let (mut from, mut max_entries) = (0, 1);
    loop {
        let max_bytes = max_entries * 300;
        let read = Read { session, from, max_entries, max_bytes, wanted: Wanted::All };
        let page = store.read(&read).unwrap();
        assert!(page.entries.len() <= max_entries && page.first_expiry.is_none());
        let weight: usize = page.entries.iter().map(|entry| entry.weight).sum();
        assert!(weight <= max_bytes || page.entries.len() <= 1);
        entries.extend(page.entries);
        match page.next {
            Some(next) => {
                assert!(next > from || entries.is_empty());
                from = next;
            }
            None => return entries,
        }
        max_entries = max_entries * 3 % 1009 + 1;
    }
}

/// Commits each of `commits`, restarts, and expects the store on disk to hold what one in memory
/// does; both after a crash and after an orderly end.
pub(crate) fn check(commits: &[Vec<Op>]) {
    let mut memory = MemoryStore::new();
    let dir = tempfile::tempdir().unwrap();
    let mut disk = disk(dir.path());
    for (number, ops) in commits.iter().enumerate() {
        memory.commit(ops, Urgency::Now).unwrap();
        disk.commit(ops, Urgency::Now).unwrap();
        if number % 2 == 1 {
            while disk.maintain().unwrap().more {}
        }
    }
    let loaded = memory.load().unwrap();
    let expected = Contents::of(&mut memory, &loaded);
    drop(disk);
    let mut disk = self::disk(dir.path());
    assert_holds(&mut disk, &expected, &loaded);
    assert_eq!(disk.usage().stray_files, 0, "sled keeps nothing outside its log");
    disk.close();
    drop(disk);
    let mut disk = self::disk(dir.path());
    assert_holds(&mut disk, &expected, &Loaded::default());
}

fn assert_holds(store: &mut dyn Store, expected: &Contents, like: &Loaded) {
    let loaded = store.load().unwrap();
    let mut found = Contents::of(store, &loaded);
    // One that came and went in the same commit was never stored.
    let (next, most) = (&mut found.snapshot.next_session, expected.snapshot.next_session);
    assert!(*next <= most && expected.snapshot.sessions.iter().all(|it| it.key.0 < *next));
    *next = most;
    assert_eq!(found, *expected);
    assert_eq!(loaded.dropped, like.dropped);
    assert_eq!((loaded.quarantined, loaded.incidents), (vec![], vec![]));
    assert!(loaded.repairs_failed.is_none(), "{:?}", loaded.repairs_failed);
}

/// Settings that make things happen early.
pub(crate) const SMALL: Settings = Settings {
    cache_bytes: 1 << 20,
    segment_bytes: 64 << 10,
    reserve_bytes: 64 << 10,
    checkpoint_bytes: 128 << 10,
    dirty_bytes: 256 << 10,
    log_slack_bytes: 256 << 10,
};

/// A small store in `dir`.
pub(crate) fn disk(dir: &Path) -> DiskStore {
    DiskStore::open(dir, SMALL).unwrap()
}

/// What the store in `dir` holds, and how it was found.
pub(crate) fn load(dir: &Path) -> (Contents, Loaded) {
    let mut store = disk(dir);
    let loaded = store.load().unwrap();
    (Contents::of(&mut store, &loaded), loaded)
}

pub(crate) fn commit_of(ops: Vec<Op>, upto: u64, weight: usize, urgency: Urgency) -> Commit {
    Commit { ops, upto: Lsn(upto), weight, urgency }
}

pub(crate) fn message(topic: &str, payload_len: usize) -> Arc<Message> {
    let payload: Vec<u8> = (0..=u8::MAX).cycle().take(payload_len).collect();
    Arc::new(Message {
        topic: TopicName::new(topic).unwrap().to_owned(),
        payload: payload.into(),
        qos: QoS::AtLeastOnce,
        retain: payload_len.is_multiple_of(2),
        properties: Box::from([1_u8, 1]),
        expires: (payload_len > 50).then(|| Timestamp::from_unix_ms(payload_len as u64)),
    })
}

pub(crate) fn put_session(session: u32) -> Op {
    let will = session.is_multiple_of(2).then(|| {
        let message = (*message("will", session as usize)).clone();
        Box::new(WillRecord { message, delay_seconds: session, expiry_seconds: Some(session) })
    });
    let record = SessionRecord {
        client_id: format!("client-{session}").into(),
        principal: "someone".into(),
        version: if session.is_multiple_of(2) { Version::V5 } else { Version::V3_1_1 },
        expiry_seconds: u32::MAX,
        disconnected_at: (session.is_multiple_of(3))
            .then(|| Timestamp::from_unix_ms(u64::from(session))),
        sent_below: u64::from(session),
        ended: session.is_multiple_of(5),
        will,
    };
    Op::PutSession { session: SessionKey(session), record }
}

pub(crate) fn remove_session(session: u32) -> Op {
    Op::RemoveSession { session: SessionKey(session) }
}

pub(crate) fn filter(text: &str) -> TopicFilterBuf {
    TopicFilter::new(text).unwrap().to_owned()
}

pub(crate) fn put_subscription(session: u32, text: &str, qos: QoS) -> Op {
    let options = SubscribeOptions {
        qos,
        no_local: qos == QoS::AtLeastOnce,
        retain_as_published: qos == QoS::ExactlyOnce,
        retain_handling: RetainHandling::SendIfNew,
    };
    let id = NonZeroU32::new(session);
    let subscription = Subscription { options, id };
    Op::PutSubscription { session: SessionKey(session), filter: filter(text), subscription }
}

pub(crate) fn remove_subscription(session: u32, text: &str) -> Op {
    Op::RemoveSubscription { session: SessionKey(session), filter: filter(text) }
}

/// The number of a class.
pub(crate) const CLASS: u32 = 1 << 29 | 7;

/// Puts message number `number` in a queue.
pub(crate) fn put(session: u32, sequence: u64, number: u64, body: &Arc<Message>) -> Op {
    let delivery = DeliveryRecord {
        qos: if sequence.is_multiple_of(3) { QoS::AtLeastOnce } else { QoS::ExactlyOnce },
        retain: sequence.is_multiple_of(2),
        released: false,
        shared: sequence.is_multiple_of(5),
        ids: (1..=u32::try_from(sequence % 3).unwrap_or(0))
            .chain(sequence.is_multiple_of(7).then_some(CLASS))
            .collect(),
    };
    let (session, message, body) = (SessionKey(session), MessageKey(number), Arc::clone(body));
    Op::PutDelivery { session, sequence, delivery, message, body }
}

pub(crate) fn release(session: u32, sequence: u64) -> Op {
    Op::ReleaseDelivery { session: SessionKey(session), sequence }
}

pub(crate) fn remove(session: u32, sequence: u64) -> Op {
    Op::RemoveDelivery { session: SessionKey(session), sequence }
}

pub(crate) fn put_received(session: u32, packet_id: u16) -> Op {
    let packet_id = PacketId::new(packet_id).unwrap();
    Op::PutReceived { session: SessionKey(session), packet_id }
}

pub(crate) fn remove_received(session: u32, packet_id: u16) -> Op {
    let packet_id = PacketId::new(packet_id).unwrap();
    Op::RemoveReceived { session: SessionKey(session), packet_id }
}

pub(crate) fn put_retained(topic: &str, payload_len: usize) -> Op {
    Op::PutRetained { body: message(topic, payload_len) }
}

pub(crate) fn remove_retained(topic: &str) -> Op {
    Op::RemoveRetained { topic: TopicName::new(topic).unwrap().to_owned() }
}
