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
    let fill = phase(total, group, |first, count| store.commit(&puts(first, count)).unwrap().bytes);
    let drain =
        phase(total, group, |first, count| store.commit(&removes(first, count)).unwrap().bytes);
    for (name, (rate, handed, written)) in [("fill", fill), ("drain", drain)] {
        println!(
            "{name} by {group}: {rate} msg/s, {handed} B/msg handed to sled, {written} B/msg to disk"
        );
    }
}

fn phase(total: u64, group: u64, mut commit: impl FnMut(u64, u64) -> u64) -> (u64, u64, u64) {
    let (before, began) = (written(), Instant::now());
    let mut handed = 0;
    let mut first = 1;
    while first <= total {
        handed += commit(first, group);
        first += group;
    }
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap().max(1);
    (total * 1_000_000 / micros, handed / total, (written() - before) / total)
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
        let delivery =
            DeliveryRecord { message, qos: QoS::AtLeastOnce, retain: false, released: false };
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

/// Bytes that this process caused to be written to storage; 0 where the kernel does
/// not count them.
fn written() -> u64 {
    let counters = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = counters.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}
