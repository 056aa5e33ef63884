//! Durable commits of queued messages on sled: rate, and bytes that reach the disk.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark reports on standard output and ends at the first failure"
)]

use std::{fs, hint::black_box, sync::Arc, time::Instant};

use broker::Message;
use broker::durable::{DeliveryRecord, MessageKey, Op, SessionKey, SessionRecord};
use criterion::{Criterion, Throughput};
use mqtt::{QoS, TopicName, Version};
use portcullis_store::{Settings, SledStore, Store};

const PAYLOAD: usize = 512;
const SESSION: SessionKey = SessionKey(1);

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let mut group = criterion.benchmark_group("commit");
    for messages in [1, 16, 256] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = opened(dir.path());
        let mut next = 1;
        group.throughput(Throughput::Elements(messages));
        group.bench_function(format!("put {messages} x {PAYLOAD} B"), |bencher| {
            bencher.iter(|| {
                store.commit(black_box(&puts(next, messages))).unwrap();
                next += messages;
            });
        });
    }
    group.finish();
    criterion.final_summary();
    [1, 16, 256].into_iter().for_each(wear);
}

/// What a queue of 20,000 messages costs the disk while it fills and while it drains.
fn wear(group: u64) {
    let total = if group == 1 { 2_000 } else { 20_000 };
    let dir = tempfile::tempdir().unwrap();
    let mut store = opened(dir.path());
    phase("fill", total, group, |first, count| store.commit(&puts(first, count)).unwrap().bytes);
    phase("drain", total, group, |first, count| {
        store.commit(&removes(first, count)).unwrap().bytes
    });
}

/// Prints, per message, the bytes handed to sled, those that sled wrote, and those of
/// the cache pages that this made dirty. The last number is an upper bound: where the
/// kernel caches files in large folios it counts a whole one for each write.
fn phase(name: &str, total: u64, group: u64, mut commit: impl FnMut(u64, u64) -> u64) {
    let (wrote, dirtied, began) = (counter("wchar"), counter("write_bytes"), Instant::now());
    let mut handed = 0;
    for first in (1..=total).step_by(usize::try_from(group).unwrap()) {
        handed += commit(first, group);
    }
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap().max(1);
    println!(
        "{name} by {group}: {} msg/s; B/msg: {} handed over, {} written, {} dirtied",
        total * 1_000_000 / micros,
        handed / total,
        (counter("wchar") - wrote) / total,
        (counter("write_bytes") - dirtied) / total,
    );
}

fn opened(dir: &std::path::Path) -> SledStore {
    let mut store = SledStore::open(dir, Settings::default()).unwrap();
    store.load().unwrap();
    let record = SessionRecord {
        client_id: "bench".into(),
        principal: "bench".into(),
        version: Version::V5,
        expiry_seconds: u32::MAX,
        disconnected_at: None,
    };
    store.commit(&[Op::PutSession { session: SESSION, record }]).unwrap();
    store
}

fn puts(first: u64, count: u64) -> Vec<Op> {
    let body = Arc::new(Message {
        topic: TopicName::new("plant/line/7/temperature").unwrap().to_owned(),
        payload: vec![0x5A; PAYLOAD].into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Box::default(),
        expires: None,
    });
    let put = |number| {
        let message = MessageKey(number);
        let delivery = DeliveryRecord {
            message,
            qos: QoS::AtLeastOnce,
            retain: false,
            released: false,
            shared: false,
            ids: Vec::new(),
        };
        [
            Op::PutMessage { message, body: Arc::clone(&body) },
            Op::PutDelivery { session: SESSION, sequence: number, delivery },
        ]
    };
    (first..first + count).flat_map(put).collect()
}

fn removes(first: u64, count: u64) -> Vec<Op> {
    let remove = |number| {
        [
            Op::RemoveDelivery { session: SESSION, sequence: number },
            Op::RemoveMessage { message: MessageKey(number) },
        ]
    };
    (first..first + count).flat_map(remove).collect()
}

/// A counter of this process's I/O in bytes; 0 where the kernel keeps none.
fn counter(name: &str) -> u64 {
    let counters = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let mut lines = counters.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(key, _)| *key == name).and_then(|(_, bytes)| bytes.parse().ok()).unwrap_or(0)
}
