//! A store of format 1, in which everything was in the database, is taken over whole.
//!
//! `format_1` was written by the last release that had it; `db` is there without the zeros at its
//! end.

use std::{fs, num::NonZeroU32, path::Path, sync::Arc};

use broker::durable::{DeliveryRecord, QueueSummary, Urgency};
use broker::{Message, Timestamp};
use mqtt::{QoS, RetainHandling, SubscribeOptions, TopicName, Version};
use portcullis_store::{Incident, Store};

use crate::harness::{Contents, disk, load, message, put};

const DB_BYTES: usize = 524_287;

fn old_store(dir: &Path) {
    fs::create_dir(dir.join("sled")).unwrap();
    let mut db = include_bytes!("format_1/db").to_vec();
    db.resize(DB_BYTES, 0);
    fs::write(dir.join("sled/db"), db).unwrap();
    fs::write(dir.join("sled/conf"), include_bytes!("format_1/conf")).unwrap();
    fs::write(dir.join("mark"), include_bytes!("format_1/mark")).unwrap();
}

fn old_message(n: u64) -> Arc<Message> {
    let len = [10, 300, 4_200][usize::try_from(n % 3).unwrap()];
    Arc::new(Message {
        topic: TopicName::new(&format!("old/{n}")).unwrap().to_owned(),
        payload: vec![u8::try_from(n).unwrap(); len].into(),
        qos: QoS::AtLeastOnce,
        retain: n.is_multiple_of(2),
        properties: Box::from([1_u8, 1]),
        expires: n.is_multiple_of(4).then(|| Timestamp::from_unix_ms(4_000_000_000_000 + n)),
    })
}

/// What the fixture was made to hold.
fn assert_all_there(found: &Contents) {
    let sessions = &found.snapshot.sessions;
    assert!(sessions.iter().map(|session| session.key.0).eq([1, 2]));
    assert_eq!(found.snapshot.next_session, 6);
    for (session, filters) in sessions.iter().zip([1, 2]) {
        let (key, record) = (session.key.0, &session.record);
        assert_eq!(*record.client_id, format!("client-{key}"));
        assert_eq!(*record.principal, format!("principal-{key}"));
        assert_eq!(record.version, if key == 2 { Version::V5 } else { Version::V3_1_1 });
        assert_eq!(record.expiry_seconds, if key == 1 { u32::MAX } else { 3600 });
        assert_eq!(record.disconnected_at, Some(Timestamp::from_unix_ms(1_700_000_000_000)));
        assert_eq!((record.sent_below, record.ended, &record.will), (130, false, &None));
        assert_eq!(session.subscriptions.len(), filters);
        let (filter, subscription) = session.subscriptions.last().unwrap();
        assert_eq!((filter.as_str(), subscription.id), ("old/#", NonZeroU32::new(key)));
        let options = SubscribeOptions {
            qos: QoS::ExactlyOnce,
            no_local: false,
            retain_as_published: true,
            retain_handling: RetainHandling::SendIfNew,
        };
        assert_eq!(subscription.options, options);
        let QueueSummary { first, next, count, shared, .. } = session.queue;
        let expected = if key == 1 { (120, 130, 9, 0) } else { (120, 130, 9, 1) };
        assert_eq!((first, next, count, shared), expected);
        assert_queue(key, found.queue(key));
    }
    assert!(sessions[0].received.is_empty());
    assert!(sessions[1].received.iter().map(|id| id.get()).eq([77]));
    assert_eq!(found.snapshot.retained, [old_message(6), old_message(8)]);
}

fn assert_queue(session: u32, queue: &[broker::durable::StoredDelivery]) {
    let numbers = (0..10_u64).filter(|n| *n != 1);
    assert_eq!(queue.len(), 9);
    for (entry, n) in queue.iter().zip(numbers) {
        let released = session == 2 && n == 0;
        let delivery = DeliveryRecord {
            qos: if n.is_multiple_of(2) { QoS::ExactlyOnce } else { QoS::AtLeastOnce },
            retain: n.is_multiple_of(5),
            released,
            shared: session == 2 && n % 7 == 1,
            ids: if session == 1 { vec![] } else { vec![2, u32::try_from(n).unwrap()] },
        };
        assert_eq!((entry.sequence, &entry.delivery), (120 + n, &delivery));
        assert_eq!(entry.body, (!released).then(|| old_message(n)));
    }
}

#[test]
fn everything_of_format_1_is_there_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    old_store(dir.path());
    let mut store = disk(dir.path());
    let loaded = store.load().unwrap();
    assert_eq!(
        loaded.incidents,
        [Incident::Upgraded { from: 1, queued: 18, damaged: 0 }],
        "{loaded:?}"
    );
    assert_all_there(&Contents::of(&mut store, &loaded));
    store.commit(&[put(1, 130, 1, &message("new", 10))], Urgency::Now).unwrap();
    drop(store);
    let (found, loaded) = load(dir.path());
    assert!(loaded.is_clean(), "{loaded:?}");
    assert_eq!(found.queue(1).len(), 10);
}

/// What an upgrade that was interrupted left does not mix with what the next one does.
#[test]
fn an_interrupted_upgrade_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    old_store(dir.path());
    let half_done = tempfile::tempdir().unwrap();
    old_store(half_done.path());
    disk(half_done.path()).load().unwrap();
    // The log was written, the database was not.
    let log = fs::read_dir(half_done.path().join("log")).unwrap();
    fs::create_dir(dir.path().join("log")).unwrap();
    for file in log.map(|entry| entry.unwrap()) {
        fs::copy(file.path(), dir.path().join("log").join(file.file_name())).unwrap();
    }
    fs::create_dir(dir.path().join("sled.new")).unwrap();
    fs::write(dir.path().join("sled.new/db"), b"half").unwrap();
    let (found, loaded) = load(dir.path());
    assert!(matches!(loaded.incidents[..], [Incident::Upgraded { .. }]), "{loaded:?}");
    assert_all_there(&found);
    let (found, loaded) = load(dir.path());
    assert!(loaded.is_clean(), "{loaded:?}");
    assert_all_there(&found);
}

/// Damage is survived as in a store of this format: the files are kept, what is readable is used.
#[test]
fn a_damaged_store_of_format_1_is_upgraded_as_far_as_it_can_be_read() {
    for n in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        old_store(dir.path());
        let path = dir.path().join("sled/db");
        let mut db = fs::read(&path).unwrap();
        let at = n * 1_801 % 74_000;
        db[at] ^= 0x20;
        fs::write(&path, db).unwrap();
        let mut store = disk(dir.path());
        let loaded = store.load().unwrap();
        let found = Contents::of(&mut store, &loaded);
        for entry in found.queues.values().flatten().filter(|entry| !entry.delivery.released) {
            assert_eq!(entry.body, Some(old_message(entry.sequence - 120)), "byte {at}");
        }
        let told = loaded.incidents.iter().any(|it| !matches!(it, Incident::Upgraded { .. }));
        assert!(told || found.entries() == 18, "byte {at}: {:?}", loaded.incidents);
        drop(store);
        assert!(disk(dir.path()).load().unwrap().is_clean(), "byte {at}");
    }
}
