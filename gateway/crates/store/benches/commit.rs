//! Durable commits of queued messages: rate, and bytes that reach the disk.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark reports on standard output and ends at the first failure"
)]

use std::{fs, hint::black_box, path::Path, sync::Arc, time::Instant};

use broker::Message;
use broker::durable::{
    DeliveryRecord, MessageKey, Op, Read, SessionKey, SessionRecord, Urgency, Wanted,
};
use criterion::{Criterion, Throughput};
use mqtt::{QoS, TopicName, Version};
use portcullis_store::{DiskStore, Settings, Store};

const PAYLOAD: usize = 256;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let mut group = criterion.benchmark_group("commit");
    for messages in [1, 16, 256] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = opened(dir.path(), 1);
        let mut next = 0;
        group.throughput(Throughput::Elements(messages));
        group.bench_function(format!("put {messages} x {PAYLOAD} B"), |bencher| {
            bencher.iter(|| {
                store.commit(black_box(&puts(next..next + messages, 1)), Urgency::Now).unwrap();
                next += messages;
            });
        });
    }
    group.finish();
    criterion.final_summary();
    wear(2_000, 1, 1);
    wear(20_000, 16, 1);
    wear(100_000, 256, 1);
    wear(100_000, 256, 100);
}

/// What queues of `total` messages cost the disk while they fill and while they drain.
fn wear(total: u64, group: u64, sessions: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = opened(dir.path(), sessions);
    println!("{total} x {PAYLOAD} B by {group} in {sessions} queues");
    phase("fill", total, group, &mut store, |store, range| {
        store.commit(&puts(range, sessions), Urgency::Now).unwrap();
    });
    println!("  files: {} KiB", store.usage().file_bytes >> 10);
    // As a client does that comes back: read a part, confirm it, and so on.
    phase("drain", total, group, &mut store, |store, range| {
        for session in 0..sessions {
            let wanted = entries(&range, session, sessions);
            let max_entries = usize::try_from(wanted.end - wanted.start).unwrap();
            let (session, from) = (key(session), wanted.start);
            let read = Read { session, from, max_entries, max_bytes: 1 << 20, wanted: Wanted::All };
            if max_entries > 0 {
                let page = store.read(&read).unwrap();
                assert!(page.entries.iter().all(|entry| entry.body.is_some()));
                assert_eq!(page.entries.len(), max_entries);
            }
        }
        store.commit(&removes(range, sessions), Urgency::Whenever).unwrap();
    });
    while store.maintain().unwrap().more {}
    println!("  files: {} KiB", store.usage().file_bytes >> 10);
}

/// Prints what the messages cost, each: bytes written to the log, bytes given to sled, those that
/// were written by all together, and those of the cache pages that this made dirty. The last
/// number is an upper bound: where the kernel caches files in large folios it counts a whole one
/// for each write.
fn phase(
    name: &str,
    total: u64,
    group: u64,
    store: &mut DiskStore,
    mut commit: impl FnMut(&mut DiskStore, std::ops::Range<u64>),
) {
    let before = store.usage();
    let (wrote, dirtied, began) = (counter("wchar"), counter("write_bytes"), Instant::now());
    let mut first = 0;
    while first < total {
        let end = total.min(first + group);
        commit(store, first..end);
        store.maintain().unwrap();
        first = end;
    }
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap().max(1);
    let after = store.usage();
    println!(
        "  {name}: {} msg/s; B/msg: {} to the log, {} to sled, {} written, {} dirtied",
        total * 1_000_000 / micros,
        (after.written_to_log - before.written_to_log) / total,
        (after.written_to_engine - before.written_to_engine) / total,
        (counter("wchar") - wrote) / total,
        (counter("write_bytes") - dirtied) / total,
    );
}

fn opened(dir: &Path, sessions: u64) -> DiskStore {
    let mut store = DiskStore::open(dir, Settings::default()).unwrap();
    store.load().unwrap();
    let put = |session| {
        let record = SessionRecord {
            client_id: format!("bench-{session}").into(),
            principal: "bench".into(),
            version: Version::V5,
            expiry_seconds: u32::MAX,
            disconnected_at: None,
            sent_below: 0,
            ended: false,
            will: None,
        };
        Op::PutSession { session: key(session), record }
    };
    store.commit(&(0..sessions).map(put).collect::<Vec<_>>(), Urgency::Now).unwrap();
    store
}

fn key(session: u64) -> SessionKey {
    SessionKey(u32::try_from(session).unwrap())
}

/// The entries of one queue that belong to these messages, which go to the queues in turn.
fn entries(messages: &std::ops::Range<u64>, session: u64, sessions: u64) -> std::ops::Range<u64> {
    let before = |message: u64| message.saturating_sub(session).div_ceil(sessions);
    before(messages.start)..before(messages.end)
}

fn puts(messages: std::ops::Range<u64>, sessions: u64) -> Vec<Op> {
    let body = Arc::new(Message {
        topic: TopicName::new("plant/line/7/temperature").unwrap().to_owned(),
        payload: vec![0x5A; PAYLOAD].into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Box::default(),
        expires: None,
    });
    let put = |number| {
        let delivery = DeliveryRecord {
            qos: QoS::AtLeastOnce,
            retain: false,
            released: false,
            shared: false,
            ids: Vec::new(),
        };
        let (session, sequence) = (key(number % sessions), number / sessions);
        let (message, body) = (MessageKey(number), Arc::clone(&body));
        Op::PutDelivery { session, sequence, delivery, message, body }
    };
    messages.map(put).collect()
}

fn removes(messages: std::ops::Range<u64>, sessions: u64) -> Vec<Op> {
    let remove = |number| Op::RemoveDelivery {
        session: key(number % sessions),
        sequence: number / sessions,
    };
    messages.map(remove).collect()
}

/// A counter of this process's I/O in bytes; 0 where the kernel keeps none.
fn counter(name: &str) -> u64 {
    let counters = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let mut lines = counters.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(key, _)| *key == name).and_then(|(_, bytes)| bytes.parse().ok()).unwrap_or(0)
}
