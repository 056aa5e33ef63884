//! One door for the store's tests: values to store, and a model of what a store is.

mod model;

use std::num::NonZeroU32;
use std::{path::Path, sync::Arc};

use broker::durable::{DeliveryRecord, MessageKey, Op, SessionKey, SessionRecord, Subscription};
use broker::{Message, Timestamp};
pub(crate) use model::Model;
use mqtt::{
    PacketId, QoS, RetainHandling, SubscribeOptions, TopicFilter, TopicFilterBuf, TopicName,
    Version,
};
use portcullis_store::{Loaded, MemoryStore, Settings, SledStore, Store};

/// Commits each of `commits`, restarts, and expects what the model says; on every
/// kind of store.
pub(crate) fn check(commits: &[Vec<Op>]) {
    let mut model = Model::default();
    let mut memory = MemoryStore::new();
    let dir = tempfile::tempdir().unwrap();
    let mut disk = sled(dir.path());
    for ops in commits {
        model.apply(ops);
        let stats = memory.commit(ops).unwrap();
        assert_eq!(disk.commit(ops).unwrap(), stats, "both stores write the same");
    }
    drop(disk);
    let expected = model.reload();
    expected.assert_same(&memory.restarted().load().unwrap());
    let mut disk = sled(dir.path());
    expected.assert_same(&disk.load().unwrap());
    assert_eq!(disk.usage().stray_files, 0, "sled keeps nothing outside its log");
    let again = disk.load().unwrap();
    assert!(again.is_clean(), "repairs last: {again:?}");
}

/// A small store in `dir`.
pub(crate) fn sled(dir: &Path) -> SledStore {
    SledStore::open(dir, Settings { cache_bytes: 1 << 20 }).unwrap()
}

pub(crate) fn load(dir: &Path) -> Loaded {
    sled(dir).load().unwrap()
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
    let record = SessionRecord {
        client_id: format!("client-{session}").into(),
        principal: "someone".into(),
        version: if session.is_multiple_of(2) { Version::V5 } else { Version::V3_1_1 },
        expiry_seconds: u32::MAX,
        disconnected_at: (session.is_multiple_of(3))
            .then(|| Timestamp::from_unix_ms(u64::from(session))),
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

pub(crate) fn put_message(number: u64, topic: &str, payload_len: usize) -> Op {
    Op::PutMessage { message: MessageKey(number), body: message(topic, payload_len) }
}

pub(crate) fn remove_message(number: u64) -> Op {
    Op::RemoveMessage { message: MessageKey(number) }
}

pub(crate) fn put_delivery(session: u32, sequence: u64, message: u64, released: bool) -> Op {
    let delivery = DeliveryRecord {
        message: MessageKey(message),
        qos: QoS::ExactlyOnce,
        retain: sequence.is_multiple_of(2),
        released,
        shared: released,
        ids: (1..=u32::try_from(sequence % 3).unwrap_or(0)).collect(),
    };
    Op::PutDelivery { session: SessionKey(session), sequence, delivery }
}

pub(crate) fn remove_delivery(session: u32, sequence: u64) -> Op {
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
